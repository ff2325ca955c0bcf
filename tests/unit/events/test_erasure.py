"""A user is erased: at once where people are served, and by a note for encodings."""

import json
from pathlib import Path
from typing import Any

import pytest

from fmrec.errors import FormatError
from fmrec.events.erasure import Erased, Eraser, kept, read_erasures
from fmrec.events.event import Event
from fmrec.events.event_table import EventTable
from fmrec.recommendations.table import Recommendation, UserRecommendations, Writer, find


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["default", "books"])
def test_events_and_list_go_and_a_note_stays(
    tmp_path: Path, dynamodb: Any, table: str, event_table: str, dataset: str
) -> None:
    events = EventTable(event_table, dataset, client=dynamodb)
    events.put([Event(str(n), "an/n *", "1", 5.0) for n in range(3)], 7)
    lists = [
        UserRecommendations(user, (Recommendation("1", 0.5, 1),), "m", "r", "2026-01-01", dataset=dataset)
        for user in ("an/n *", "bob")
    ]
    with Writer(table, dynamodb) as writer:
        writer.write(lists)
    eraser = Eraser(str(tmp_path), table, events, dataset)
    erased = eraser.erase("an/n *")
    assert (erased.events, erased.lists) == (3, 1)
    assert [find(table, each.key, dynamodb) is not None for each in lists] == [False, True]
    assert events.of("an/n *").events == ()
    assert read_erasures(str(tmp_path / "raw"), dataset) == {"an/n *": erased.at}
    assert read_erasures(str(tmp_path / "raw"), "other") == {}
    again = eraser.erase("an/n *")
    assert again == Erased(again.at, 0, 0)
    assert read_erasures(str(tmp_path / "raw"), dataset) == {"an/n *": again.at}
    assert again.at > erased.at


@pytest.mark.parametrize(
    "note",
    [
        {"user_id": 7, "erased_at": 1},
        {"user_id": "a", "erased_at": "now"},
        {"user_id": "a", "erased_at": float("nan")},
        {},
    ],
)
def test_what_is_no_note_is_named(tmp_path: Path, note: Any) -> None:
    folder = tmp_path / "raw/erasures/default"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(json.dumps(note))
    with pytest.raises(FormatError, match=r"x\.json is no note of an erased user"):
        read_erasures(str(tmp_path / "raw"), "default")


def test_what_is_kept_names_the_deployments_own_ages() -> None:
    ends = {each.where: each.ends for each in kept(17, 23)}
    assert "17 days" in ends["encoded/, embeddings/, neighbours/, scores/"]
    assert "23 days" in ends["versions of objects"]
