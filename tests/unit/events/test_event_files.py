"""Events in the format of a data set document, and events that the format can't hold."""

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.events.event import Event
from fmrec.events.event_files import EventFiles

AT = 1_764_400_000.25
"""2025-11-29T07:06:40.250Z."""


def files(**interactions: Any) -> EventFiles:
    columns = {"user": "u", "item": "i"}
    return EventFiles.of({"interactions": {"path": "a/", "columns": columns} | interactions})


def event(user: str = "ann", item: str = "7", **more: Any) -> Event:
    return Event("e1", user, item, AT, **more)


def test_a_csv_has_the_documents_columns_and_quotes_what_needs_it() -> None:
    rendered = EventFiles.of({}).render([event('a "b", c', value=4.0), event(value=0.5)])
    assert rendered.decode() == (
        'user_id,item_id,rating,timestamp\n"a ""b"", c",7,4,1764400000.25\nann,7,0.5,1764400000.25\n'
    )


def test_a_file_without_a_header_has_all_fields_in_their_order() -> None:
    made = files(
        format="tsv",
        header=False,
        fields=["order", "u", "i", "q", "t"],
        columns={"user": "u", "item": "i", "value": "q", "timestamp": "t"},
        timestamp_format="milliseconds",
        decimal=",",
        encoding="latin-1",
    )
    assert made.render([event("Zoë", value=1.5)]) == "\tZoë\t7\t1,5\t1764400000250\n".encode("latin-1")


def test_json_lines_and_parquet_nest_dotted_columns() -> None:
    columns = {"user": "who.id", "item": "who.what", "event": "kind", "timestamp": "at"}
    lines = files(format="jsonl", columns=columns, timestamp_format="iso8601")
    row = {"who": {"id": "ann", "what": "7"}, "kind": "view", "at": "2025-11-29T07:06:40.250Z"}
    assert json.loads(lines.render([event(event="view")])) == row
    parquet = files(format="parquet", columns=columns, timestamp_format="iso8601")
    assert pq.read_table(io.BytesIO(parquet.render([event(event="view")]))).to_pylist() == [row]
    assert (lines.suffix, parquet.suffix) == (".jsonl", ".parquet")


@pytest.mark.parametrize(
    ("timestamp_format", "written"),
    [
        ("seconds", "1764400000.25"),
        ("nanoseconds", "1764400000250000000"),
        ("rfc2822", "Sat, 29 Nov 2025 07:06:40 +0000"),
        ("d-MMM-yyyy h:mm a", "29-Nov-2025 7:06 AM"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2025-11-29T07:06:40.250Z"),
        ("EEE MMM dd HH:mm:ss Z yyyy", "Sat Nov 29 07:06:40 +0000 2025"),
    ],
)
def test_times_are_written_as_the_document_says(timestamp_format: str, written: str) -> None:
    columns = {"user": "u", "item": "i", "timestamp": "t"}
    made = files(columns=columns, timestamp_format=timestamp_format)
    ((_, _, found),) = list(csv.reader(io.StringIO(made.render([event()]).decode())))[1:]
    assert found == written


ODD = {"encoding": "latin-1", "quote": "", "missing": ["NA"], "item_separator": "|", "escape": "\\"}


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"user": " "}, "user_id", "is blank"),
        ({"item": "a\nb"}, "item_id", "line break"),
        ({"item": "\ud800"}, "item_id", "control character"),
        ({"user": "x" * 257}, "user_id", "at most 256 characters"),
        ({"user": "€"}, "user_id", "the data set's encoding"),
        ({"user": "NA"}, "user_id", "stands for nothing"),
        ({"item": "a|b"}, "item_id", "separates items"),
        ({"user": "a,b"}, "user_id", "no quotes"),
        ({"user": "a\\b"}, "user_id", "escape character"),
        ({"value": 3.0}, "value", "no column of values"),
        ({"event": "view"}, "event", "no column of events"),
    ],
)
def test_what_the_files_can_not_hold_has_a_sentence(changes: Any, field: str, sentence: str) -> None:
    problem = files(**ODD).problem(event(**changes))
    assert problem is not None
    assert problem[0] == field
    assert sentence in problem[1]
    assert files(**ODD).problem(event()) is None


def test_a_column_of_the_data_set_is_required_and_limits_are_the_quarantines() -> None:
    made = EventFiles.of({"quarantine": {"earliest": "2030-01-01"}})
    assert EventFiles.of({}).problem(event()) == (
        "value",
        "is missing: the data set's column 'rating' needs it",
    )
    assert (made.problem(event(value=1.0)) or ("", ""))[0] == "at"
    assert (EventFiles.of({}).problem(event(value=1e300)) or ("", ""))[0] == "value"
    assert EventFiles.of(made.document) == made


TEXTS = st.text(min_size=1, max_size=12)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6))
def test_a_csv_reader_gets_back_every_text_that_is_accepted(pairs: list[tuple[str, str]]) -> None:
    made = files()
    accepted = [pair for pair in pairs if made.problem(event(*pair)) is None]
    text = made.render([event(*pair) for pair in accepted]).decode()
    rows = list(csv.reader(io.StringIO(text), strict=True))
    assert rows == [["u", "i"], *map(list, accepted)]
