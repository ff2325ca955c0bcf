"""Dialects: a table written in one is taken apart into the same cells."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.inspection.delimited import detect_dialect, has_header, read_rows

DELIMITERS = ["\t", ",", ";", "|", "::", "\x01", "~"]
WORDS = st.text(st.sampled_from("abcxyz é-"), min_size=1, max_size=8).filter(lambda text: text.strip() != "")
CELLS = st.integers(0, 10**6).map(str) | WORDS | st.sampled_from(["4.5", "2019-10-01", "Comedy", ""])


def tables(cells: st.SearchStrategy[str], rows: int = 5) -> st.SearchStrategy[list[list[str]]]:
    return st.integers(2, 8).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=rows, max_size=15)
    )


@pytest.mark.parametrize("delimiter", DELIMITERS)
@settings(deadline=None, max_examples=25)
@given(table=tables(CELLS))
def test_a_plain_table_is_read_back(delimiter: str, table: list[list[str]]) -> None:
    rows = [[f"u{at}", *row] for at, row in enumerate(table)]
    text = "\n".join(delimiter.join(row) for row in rows) + "\n"
    dialect = detect_dialect(text)
    assert dialect is not None
    assert (dialect.delimiter, dialect.fields, dialect.multiline) == (delimiter, len(rows[0]), False)
    assert [row.cells for row in read_rows(text, dialect)] == rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@settings(deadline=None, max_examples=25)
@given(table=tables(CELLS | st.text(st.sampled_from('ab",;|\t '), min_size=1, max_size=8)))
def test_enclosed_fields_may_hold_delimiters_and_quotes(delimiter: str, table: list[list[str]]) -> None:
    rows = [[f"u{at}", *row] for at, row in enumerate(table)]
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    dialect = detect_dialect(written.getvalue())
    assert dialect is not None
    assert (dialect.delimiter, dialect.quote, dialect.fields) == (delimiter, '"', len(rows[0]))
    assert [row.cells for row in read_rows(written.getvalue(), dialect)] == rows


def test_texts_over_several_lines_are_recognised() -> None:
    text = "".join(f'{at},"first line {at}\nsecond, ""line""\n\nlast",{at % 5}\n' for at in range(20))
    dialect = detect_dialect(text)
    assert dialect is not None
    assert (dialect.quote, dialect.multiline, dialect.fields, dialect.consistent) == ('"', True, 3, 1.0)
    assert read_rows(text, dialect)[3].cells == ["3", 'first line 3\nsecond, "line"\n\nlast', "3"]


def test_backslashes_before_quotes_are_escapes() -> None:
    text = "".join(f'"{at}";"The \\"Best\\"; Book {at}";"x"\n' for at in range(20))
    dialect = detect_dialect(text)
    assert dialect is not None
    assert (dialect.escape, dialect.fields) == ("\\", 3)
    assert read_rows(text, dialect)[2].cells == ["2", 'The "Best"; Book 2', "x"]


def test_quotes_that_stand_in_texts_enclose_nothing() -> None:
    text = "".join(f'N{at}\tsports\tThe "Brands" {at}\t"Half quoted {at}\n' for at in range(20))
    dialect = detect_dialect(text)
    assert dialect is not None
    assert (dialect.delimiter, dialect.quote, dialect.fields) == ("\t", "", 4)


def test_a_decimal_comma_is_no_delimiter() -> None:
    dialect = detect_dialect("".join(f"k{at};p{at % 7};{at % 5},5\n" for at in range(20)))
    assert dialect is not None
    assert (dialect.delimiter, dialect.fields) == (";", 3)


def test_colons_of_times_and_blanks_of_names_separate_nothing_while_commas_do() -> None:
    dialect = detect_dialect("".join(f"2019-10-01 00:00:0{at % 10} UTC,Dota 2,{at}\n" for at in range(20)))
    assert dialect is not None
    assert (dialect.delimiter, dialect.fields) == (",", 3)


@pytest.mark.parametrize(
    "text", ["Summary\n=======\n\nThis data set, collected by us, has\nratings.\n", "one\ntwo\nthree\n", ""]
)
def test_prose_is_no_table(text: str) -> None:
    assert detect_dialect(text) is None


COMMENTED = [
    ("# from the shop\n# 2026\nuser_id,item_id\na,b\nc,d\n", ",", "#"),
    ("# from the shop, 2026\nuser_id,item_id\na,b\nc,d\n", ",", "#"),
    ("% bip weighted\n% 4 2 2\n1 1 5 978300760\n1 2 4 978300761\n2 1 3 978300762\n", " ", "%"),
    ("# Nodes: 3 Edges: 3\n# FromNodeId\tToNodeId\n0\t1\n0\t2\n1\t2\n", "\t", "#"),
    ("// v2\nuser;item;stars\n1;2;3\n1;3;4\n", ";", "//"),
    ("#user,item\na,b\nc,d\n", ",", ""),
    ("#1,b\n#2,d\n#3,b\n", ",", ""),
]


@pytest.mark.parametrize(("text", "delimiter", "comment"), COMMENTED)
def test_lines_of_notes_are_recognised_by_what_they_begin_with(
    text: str, delimiter: str, comment: str
) -> None:
    dialect = detect_dialect(text)
    assert dialect is not None
    assert (dialect.delimiter, dialect.comment) == (delimiter, comment)
    assert all(len(row.cells) == dialect.fields for row in read_rows(text, dialect))


@pytest.mark.parametrize("row", ['1,"2,3', '1,"2"x,3', '"12"x,2,3'])
def test_unbalanced_quotes_are_no_fields(row: str) -> None:
    text = "".join(f'{at},"{at},0",3\n' for at in range(20)) + row + "\n"
    dialect = detect_dialect(text)
    assert dialect is not None
    assert dialect.quote == '"'
    assert [found.problem for found in read_rows(text, dialect)] == [None] * 20 + ["unbalanced quotes"]


HEADERS = [
    (["userId", "movieId", "rating"], [["1", "2", "3.5"], ["1", "3", "4.0"]], True),
    (["customer", "product", "bought"], [["k1", "p1", "2019-01-01"]], True),
    (["user_id", "item_id"], [["anna", "lamp"], ["ben", "lamp"]], True),
    (["", "user", "item"], [["0", "a", "x"], ["1", "b", "y"]], True),
    (["#id", "gender", "age"], [["user_1", "m", ""], ["user_2", "f", "22"]], True),
    (["1", "2", "3"], [["4", "5", "6"]], False),
    (["anna", "lamp"], [["ben", "lamp"], ["anna", "desk"]], False),
    (["U1", "N5 N7", "x"], [["U2", "N5", "y"]], False),
    (["A17", "2019-01-01", "view"], [["B2", "2019-01-02", "buy"]], False),
    (["id", "id", "x"], [["1", "2", "3"]], False),
    (["user", *(str(at) for at in range(100, 115))], [["u1", *["5"] * 15], ["u2", *["3"] * 15]], True),
]


@pytest.mark.parametrize(("first", "rest", "expected"), HEADERS)
def test_a_header_differs_from_what_is_below_it(
    first: list[str], rest: list[list[str]], expected: bool
) -> None:
    assert has_header([first, *rest]) is expected
