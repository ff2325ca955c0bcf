"""Files of the API's events, read back as the next encoding reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmrec.events.event import Event
from fmrec.events.event_files import EventFiles

Take = Callable[..., Any]
AT = 1_764_400_000.25
EVENTS = [
    Event("e1", 'ann "a", b', "007", AT, value=4.5),
    Event("e2", " Zoë\u00a0", "x;y\\z", AT + 1, value=-2.0),
    Event("e3", "'ann'", "#7", 978_307_200.0, value=1e6),
]
COLUMNS = {"user": "u", "item": "i", "value": "v", "timestamp": "t"}
DOTTED = {"user": "who.id", "item": "what", "value": "v", "timestamp": "at.time"}


@pytest.mark.parametrize(
    "source",
    [
        {"format": "csv"},
        {"format": "tsv", "timestamp_format": "iso8601"},
        {"format": "tsv", "decimal": ",", "header": False, "fields": ["u", "v", "more", "i", "t"]},
        {"format": "jsonl", "columns": DOTTED, "timestamp_format": "milliseconds"},
        {"format": "jsonl", "decimal": ",", "timestamp_format": "iso8601"},
        {"format": "parquet", "columns": DOTTED, "timestamp_format": "iso8601"},
        {"format": "parquet", "timestamp_format": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"},
    ],
)
def test_spark_reads_every_event_back_as_it_was_stored(
    source: dict[str, Any], take: Take, tmp_path: Path
) -> None:
    document = {"path": "events/", "columns": COLUMNS} | source
    files = EventFiles.of({"interactions": document})
    assert [files.problem(event) for event in EVENTS] == [None] * len(EVENTS)
    folder = tmp_path / "raw/events"
    folder.mkdir(parents=True)
    (folder / f"events-1{files.suffix}").write_bytes(files.render(EVENTS))
    found = take(tmp_path / "raw", max_share=0.0, interactions=document)
    assert found.bad == []
    assert found.rows == [(event.user_id, event.item_id, event.value, event.at) for event in EVENTS]
