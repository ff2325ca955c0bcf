"""Encodings: what is written in one is recognised as it, whole or in pieces."""

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.inspection.encodings import decode, detect_encoding

LATIN = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.sampled_from("éèüñçßåØ£°"), min_size=1
)
LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30), min_size=1, max_size=20
)


@settings(deadline=None, max_examples=60)
@given(LINES)
def test_utf8_is_recognised_with_and_without_a_mark(rows: list[str]) -> None:
    text = "\n".join(["id;name", *rows])
    assert detect_encoding([text.encode()]).name == "utf-8"
    assert detect_encoding([codecs.BOM_UTF8 + text.encode()]).name == "utf-8"
    assert decode(codecs.BOM_UTF8 + text.encode(), "utf-8") == text.removeprefix("\ufeff")


@settings(deadline=None, max_examples=60)
@given(LINES, st.integers(8, 64))
def test_utf8_is_recognised_in_pieces_that_cut_characters(rows: list[str], size: int) -> None:
    data = "\n".join(["id;name", *rows]).encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert detect_encoding(pieces, whole=False).name == "utf-8"


@settings(deadline=None, max_examples=60)
@given(st.lists(LATIN, min_size=1, max_size=20), st.sampled_from("éèüñçßåØ"))
def test_western_letters_that_are_no_utf8_are_latin_1(rows: list[str], letter: str) -> None:
    data = "\n".join([*rows, f"caf{letter} latte"]).encode("latin-1")
    found = detect_encoding([data])
    assert (found.name, found.certain) == ("latin-1", False)
    assert decode(data, found.name).endswith(f"caf{letter} latte")


@settings(deadline=None, max_examples=60)
@given(st.lists(LATIN, max_size=20), st.sampled_from("€…“”–™Œž"))
def test_signs_that_only_cp1252_has_are_cp1252(rows: list[str], sign: str) -> None:
    data = "\n".join([*rows, f"12 {sign} a"]).encode("cp1252")
    found = detect_encoding([data])
    assert found.name == "cp1252"
    assert decode(data, "cp1252").endswith(f"12 {sign} a")


@pytest.mark.parametrize(
    ("codec", "name"),
    [("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("utf-32", "utf-32")],
)
def test_two_and_four_bytes_a_letter_show_by_mark_or_zeros(codec: str, name: str) -> None:
    text = "user;item;rating\n" + "".join(f"k{at};Café {at};4\n" for at in range(50))
    data = text.encode(codec)
    assert detect_encoding([data]).name == name
    assert decode(data, name) == text
    assert decode(data[400:800], name, data).isprintable() is False
    assert "Café" in decode(data[400:800], name, data)


def test_a_damaged_line_in_a_file_of_utf8_stays_a_damaged_line() -> None:
    rows = [f"{at};Café".encode() for at in range(40)]
    found = detect_encoding([b"\n".join([*rows, b"41;Caf\xe9"])])
    assert found.name == "utf-8"
    assert "invalid" in found.reason


def test_an_ascii_file_is_utf8() -> None:
    assert detect_encoding([b"1,2,3\n"]).reason == "only ASCII was found"
    assert detect_encoding([b""]).name == "utf-8"
