"""Each event lands once, whatever dies and however batches are cut again."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmrec.errors import FmrecError
from fmrec.events.event import Event
from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable, to_item
from fmrec.events.landing import Landed, Landing
from fmrec.storage import object_store

Record = dict[str, Any]
NUMBERS = count()
PLAIN = {"interactions": {"path": "a/", "columns": {"user": "u", "item": "i", "timestamp": "t"}}}


def stored(table: EventTable, names: list[str]) -> list[Record]:
    """Store events, and return the stream's records of them."""
    events = [Event(name, f"u{name}", "7", 1_000.0) for name in names]
    assert all(table.put(events, keep_days=7))
    return [{"eventName": "INSERT", "dynamodb": {"NewImage": to_item(each, "default")}} for each in events]


def landed_users(root: Path) -> list[str]:
    rows = [line for file in (root / "raw/a").glob("*") for line in file.read_text().splitlines()[1:]]
    return sorted(row.partition(",")[0] for row in rows)


@pytest.fixture
def table(dynamodb: Any, event_table: str) -> EventTable:
    return EventTable(event_table, client=dynamodb)


def landing(root: Path, table: EventTable, document: Any = PLAIN) -> Landing:
    return Landing(str(root), table.table, EventFiles.of(document), table.client)


def test_a_batch_lands_in_one_file_and_once_however_often_it_is_delivered(
    tmp_path: Path, table: EventTable
) -> None:
    records = stored(table, ["a", "b", "c"])
    others = [
        {"eventName": "MODIFY", "dynamodb": records[0]["dynamodb"]},
        {"eventName": "REMOVE", "dynamodb": {}},
        {"eventName": "INSERT", "dynamodb": {"NewImage": {"user_id": {"S": "u"}, "entry": {"S": "erased"}}}},
    ]
    assert landing(tmp_path, table).land([*records, *others, records[0]]) == Landed(written=3)
    (file,) = (tmp_path / "raw/a").iterdir()
    assert file.name.startswith("events-")
    assert file.read_text() == "u,i,t\nua,7,1000\nub,7,1000\nuc,7,1000\n"
    # Cut in other ways, nothing lands again.
    assert landing(tmp_path, table).land(records[:2]) == Landed(earlier=2)
    assert landing(tmp_path, table).land(records[1:]) == Landed(earlier=2)
    assert landed_users(tmp_path) == ["ua", "ub", "uc"]


def test_what_was_deleted_does_not_land(tmp_path: Path, table: EventTable) -> None:
    records = stored(table, ["a", "b"])
    assert table.erase("ua")[1] == 1
    assert landing(tmp_path, table).land(records) == Landed(written=1, erased=1)
    assert landed_users(tmp_path) == ["ub"]


def test_events_of_an_earlier_document_are_quarantined_and_counted(tmp_path: Path, table: EventTable) -> None:
    records = stored(table, ["a", "b,c"])
    narrow = {"interactions": PLAIN["interactions"] | {"quote": ""}}
    assert landing(tmp_path, table, narrow).land(records) == Landed(written=1, quarantined=1)
    (file,) = (tmp_path / "quarantine/events").iterdir()
    found = json.loads(file.read_text())
    assert "no quotes" in found["reason"]
    assert found["event"]["user_id"] == {"S": "ub,c"}
    # The same batch again writes the same files again; one event of it alone has landed before.
    assert landing(tmp_path, table, narrow).land(records) == Landed(written=1, quarantined=1)
    assert landing(tmp_path, table, narrow).land(records[1:]) == Landed(earlier=1)
    assert landed_users(tmp_path) == ["ua"]
    assert [path.read_text() for path in (tmp_path / "quarantine/events").iterdir()] == [
        json.dumps(found) + "\n"
    ]


class DiedError(Exception):
    pass


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 4), min_size=4, max_size=12),
    deaths=st.lists(st.sampled_from(["no", "before writing", "after writing"]), min_size=12, max_size=12),
)
def test_nothing_is_lost_or_doubled_when_a_function_dies_anywhere(
    cuts: list[int], deaths: list[str], tmp_path: Path, table: EventTable
) -> None:
    """A failed batch comes again from its beginning, cut anew, as streams do."""
    root = tmp_path / str(next(NUMBERS))
    names = [f"{root.name}-{n}" for n in range(6)]
    records = stored(table, names)
    position, plan = 0, iter(zip(cuts, deaths, strict=False))
    while position < len(records):
        size, death = next(plan, (len(records), "no"))
        batch = records[position : position + size]
        with pytest.MonkeyPatch.context() as patch:
            whole = object_store.write_bytes

            def write(uri: str, data: Any, death: str = death, whole: Any = whole) -> None:
                if death != "before writing":
                    whole(uri, data)
                if death != "no":
                    raise DiedError

            patch.setattr(object_store, "write_bytes", write)
            try:
                landing(root, table).land(batch)
            except DiedError:
                continue
        position += len(batch)
    assert landed_users(root) == sorted(f"u{name}" for name in names)


def test_a_table_that_fails_lands_nothing_and_says_so(tmp_path: Path, table: EventTable) -> None:
    records = stored(table, ["a"])
    with pytest.raises(FmrecError, match="table nowhere: DynamoDB answered"):
        Landing(str(tmp_path), "nowhere", EventFiles.of(PLAIN), table.client).land(records)
    assert not (tmp_path / "raw").exists()
