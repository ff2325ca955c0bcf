"""Fields of delimited lines, against the RFC's grammar and Python's own reader."""

import csv
import io
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.encoding.ingest.delimited import MISPLACED, SPLIT, UNBALANCED, Marks, split_lines

COMMAS = Marks(",", '"')
GRAMMAR = re.compile(r'(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*')
"""A record of RFC 4180."""


def split(lines: list[str], marks: Marks = COMMAS) -> list[list[str] | int]:
    fields, faults = split_lines(pa.array(lines, pa.string()), marks)
    found: list[list[str]] = fields.to_pylist()
    return [texts if fault == SPLIT else fault for texts, fault in zip(found, faults.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("1,2,3", ["1", "2", "3"]),
        ("", [""]),
        (",", ["", ""]),
        ('"1","2"', ["1", "2"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"",x,""', ["", "x", ""]),
        ('"""",x', ['"', "x"]),
        ('"say ""hi""",x', ['say "hi"', "x"]),
        ('"""a""",b', ['"a"', "b"]),
        ('"a\nb",c', ["a\nb", "c"]),
        ('"é,ü",日', ["é,ü", "日"]),
        ('"12"x,5', MISPLACED),
        ('x"12",5', MISPLACED),
        ('5" pipe,3"', MISPLACED),
        (' "12",5', MISPLACED),
        ('"12" ,5', MISPLACED),
        ('a""b,5', MISPLACED),
        ('""a"",5', MISPLACED),
        ('"a" "b",5', MISPLACED),
        ('"great film', UNBALANCED),
        ('my next line"', UNBALANCED),
        ('5" pipe,3', UNBALANCED),
        ('"""', UNBALANCED),
    ],
)
def test_quotes_are_judged_by_rfc_4180(line: str, fields: list[str] | int) -> None:
    assert split(["7,8", line, '"9",""']) == [["7", "8"], fields, ["9", ""]]


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(st.text(st.sampled_from('",ab |é'), max_size=12), max_size=5))
def test_a_line_is_split_if_and_only_if_it_is_a_record_of_the_rfc(lines: list[str]) -> None:
    for line, fields in zip(lines, split(lines), strict=True):
        if GRAMMAR.fullmatch(line):
            assert fields == (next(csv.reader(io.StringIO(line, newline=""), strict=True), [""]) or [""])
        else:
            assert fields == (UNBALANCED if line.count('"') % 2 else MISPLACED)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.text(st.sampled_from("\"';:,|\\\t xé"), max_size=6), min_size=2, max_size=4), max_size=5),
    st.sampled_from([Marks(",", '"'), Marks("\t", "'"), Marks("::", '"'), Marks(";", '"', "\\"), Marks("|", "", "\\")]),
)  # fmt: skip
def test_what_was_written_is_read_back(rows: list[list[str]], marks: Marks) -> None:
    lines = []
    for row in rows:
        fields = []
        for field in row:
            if marks.quote:
                text = field.replace("\\", "\\\\") if marks.escape else field
                fields.append(marks.quote + text.replace(marks.quote, 2 * marks.quote) + marks.quote)
            else:
                fields.append(re.sub(r"([\\|])", r"\\\1", field))
        lines.append(marks.delimiter.join(fields))
    assert split(lines, marks) == rows


def test_an_escape_takes_the_meaning_of_the_next_character() -> None:
    marks = Marks(",", '"', "\\")
    lines = [r'"a\"b",c', r"a\,b,c", r'"a\\",c', r"\\,x", "end\\", r'"a\\\"b",""']
    assert split(lines, marks) == [
        ['a"b', "c"], ["a,b", "c"], ["a\\", "c"], ["\\", "x"], ["end\\"], ['a\\"b', ""],
    ]  # fmt: skip


def test_what_databases_write_for_null_stays_as_it_is() -> None:
    marks = Marks(",", '"', "\\")
    lines = [r"\N,x", r"a,\N", r"\N,\N,\,", r"\Nx,x\N", r'"\N",\n', r"\\N,N"]
    assert split(lines, marks) == [
        [r"\N", "x"], ["a", r"\N"], [r"\N", r"\N", ","], ["Nx", "xN"], ["N", "n"], [r"\N", "N"],
    ]  # fmt: skip


def test_delimiters_of_several_characters_are_taken_from_the_left() -> None:
    marks = Marks("::", '"')
    assert split(['"a":::b', 'a::"b::c"::', ':::"x"', '"a"::::"b"'], marks) == [
        ["a", ":b"], ["a", "b::c", ""], MISPLACED, ["a", "", "b"],
    ]  # fmt: skip


def test_slices_of_larger_arrays_are_split_alike() -> None:
    lines = pa.array(['"x', "1,2", '"3,4",5', "6,7", '8"']).slice(1, 3)
    fields, faults = split_lines(lines, COMMAS)
    assert (fields.to_pylist(), faults.tolist()) == ([["1", "2"], ["3,4", "5"], ["6", "7"]], [0, 0, 0])
