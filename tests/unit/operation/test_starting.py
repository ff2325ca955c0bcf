"""When a run starts: by schedule, by new data, after a run that was waited for; skipped with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.errors import FormatError, SettingsError
from fmrec.execution.execution_input import check_name
from fmrec.operation.starting import (
    NEW_DATA,
    RUN_ENDED,
    SCHEDULE,
    Contents,
    Decision,
    Memory,
    Patience,
    RawObject,
    contents,
    decide,
    execution_name,
    never_started,
    with_end,
)

NOW = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DATA = contents([RawObject("raw/interactions/a.csv", 5_000_000, "e1", NOW - HOUR)], None)
RUN = Memory(
    3, "arn:x:execution:m:schedule-1", (NOW - 5 * HOUR).isoformat(), SCHEDULE, DATA.digest, DATA.bytes
)


def ask(source: str, **changes: Any) -> Decision:
    usual: dict[str, Any] = {
        "now": NOW, "memory": RUN, "found": DATA, "running": "", "last_status": "SUCCEEDED", "patience": Patience(),
    }  # fmt: skip
    return decide(source, **{**usual, **changes})


def with_more(megabytes: float = 10, minutes_ago: float = 60) -> Contents:
    changed = NOW - timedelta(minutes=minutes_ago)
    new = RawObject("raw/interactions/b.csv", int(megabytes * 1e6), "e2", changed)
    old = RawObject("raw/interactions/a.csv", 5_000_000, "e1", NOW - 9 * HOUR)
    return contents([new, old], datetime.fromisoformat(RUN.started))


def test_the_first_run_starts_by_schedule_and_by_new_data() -> None:
    for source in (SCHEDULE, NEW_DATA):
        decision = ask(source, memory=Memory(), last_status="")
        assert decision.start, decision.sentence
        assert decision.memory.digest == DATA.digest
        assert decision.started_by == source
        name = execution_name(replace(decision.memory, version=1))
        assert name == f"{source}-20261128T190000-1"
        check_name(name)


def test_nothing_is_started_without_data() -> None:
    decision = ask(SCHEDULE, memory=Memory(), found=Contents(), last_status="")
    assert (decision.start, decision.sentence) == (
        False,
        "There is no raw data yet: upload interactions first.",
    )


@pytest.mark.parametrize("source", [SCHEDULE, NEW_DATA])
def test_unchanged_data_is_skipped_with_a_reason(source: str) -> None:
    decision = ask(source, found=replace(DATA))
    assert not decision.start
    assert decision.sentence == "Nothing has changed since run schedule-1 was started: skipped."
    assert (decision.memory.said, decision.memory.said_at) == (
        decision.sentence,
        NOW.isoformat(timespec="seconds"),
    )


def test_after_a_failed_run_a_schedule_tries_again_and_new_data_does_not() -> None:
    again = ask(SCHEDULE, last_status="FAILED")
    assert again.start
    assert "the same as before, because the last run did not succeed" in again.sentence
    waits = ask(NEW_DATA, last_status="FAILED")
    assert not waits.start
    assert "which ended as FAILED: skipped" in waits.sentence


def test_a_run_that_never_came_to_be_is_made_up_for() -> None:
    assert ask(NEW_DATA, last_status="").start
    fresh = replace(RUN, started=(NOW - timedelta(minutes=1)).isoformat())
    assert never_started(fresh, "", NOW)
    assert not never_started(fresh, "RUNNING", NOW)
    assert not never_started(RUN, "", NOW)  # Step Functions forgets runs of 90 days ago
    assert not never_started(with_end(fresh, fresh.execution_arn, "FAILED", NOW), "", NOW)
    assert not never_started(Memory(), "", NOW)


def test_two_runs_of_the_same_second_have_names_of_their_own() -> None:
    first, second = (
        execution_name(replace(ask(SCHEDULE, found=with_more()).memory, version=version))
        for version in (4, 5)
    )
    assert first != second
    check_name(execution_name(replace(ask(NEW_DATA, found=with_more()).memory, version=10**9)))


def test_a_schedule_that_waits_is_not_forgotten_when_new_data_is_looked_for() -> None:
    """The end of the run has not been reported yet."""
    waiting = replace(RUN, waiting=SCHEDULE)
    decision = ask(NEW_DATA, memory=waiting, found=with_more(minutes_ago=1))
    assert (decision.start, decision.started_by) == (True, SCHEDULE)
    assert ask(NEW_DATA, memory=waiting, last_status="FAILED").started_by == SCHEDULE
    assert ask(SCHEDULE, memory=replace(RUN, waiting=NEW_DATA), found=with_more()).started_by == SCHEDULE


def test_ends_are_remembered_for_a_while() -> None:
    first = with_end(RUN, "arn:a", "FAILED", NOW)
    second = with_end(first, "arn:b", "SUCCEEDED", NOW + timedelta(minutes=9))
    assert {arn: end.status for arn, end in second.ended.items()} == {"arn:a": "FAILED", "arn:b": "SUCCEEDED"}
    assert set(with_end(second, "arn:c", "ABORTED", NOW + timedelta(minutes=11)).ended) == {"arn:b", "arn:c"}
    assert Memory.from_document(json.loads(json.dumps(second.to_document()))) == second


def test_who_comes_while_a_run_is_under_way_starts_when_it_has_ended() -> None:
    waits = ask(SCHEDULE, found=with_more(), running="schedule-1", last_status="RUNNING")
    assert not waits.start
    assert waits.sentence == "Run schedule-1 is under way: the next one starts when it has ended."
    assert waits.memory.waiting == SCHEDULE

    twice = ask(NEW_DATA, memory=waits.memory, found=with_more(), running="schedule-1", last_status="RUNNING")
    assert twice.memory.waiting == SCHEDULE

    ended = ask(RUN_ENDED, memory=twice.memory, found=with_more())
    assert (ended.start, ended.started_by, ended.memory.waiting) == (True, SCHEDULE, "")
    once_more = ask(RUN_ENDED, memory=ended.memory, found=with_more())
    assert (once_more.start, once_more.memory) == (False, ended.memory)


def test_who_waited_for_a_run_on_the_same_data_does_not_run_it_again() -> None:
    waiting = replace(RUN, waiting=SCHEDULE)
    decision = ask(RUN_ENDED, memory=waiting)
    assert not decision.start
    assert "Nothing has changed" in decision.sentence
    assert decision.memory.waiting == ""


def test_an_upload_of_many_files_is_one_upload() -> None:
    decision = ask(NEW_DATA, found=with_more(minutes_ago=3))
    assert not decision.start
    assert (
        "New data was uploaded at 18:57:00 UTC: waiting until nothing has been for 10 minutes."
        in decision.sentence
    )
    assert ask(NEW_DATA, found=with_more(minutes_ago=10)).start
    assert ask(SCHEDULE, found=with_more(minutes_ago=0)).start


def test_little_new_data_waits_for_more_or_for_time() -> None:
    patience = Patience(minimum_megabytes=50, maximum_wait_hours=3)
    little = ask(NEW_DATA, found=with_more(10, minutes_ago=60), patience=patience)
    assert not little.start
    assert "10,000,000 bytes are new since 2026-11-28 18:00 UTC: waiting for 50 MB" in little.sentence
    assert ask(NEW_DATA, found=with_more(50), patience=patience).start
    assert ask(NEW_DATA, found=with_more(10, minutes_ago=180), patience=patience).start
    # What was only removed waits since the last run.
    left = replace(DATA, digest="other", bytes=1, oldest_since=None)
    assert contents([], None) == Contents()
    assert ask(NEW_DATA, found=left, patience=patience).start
    assert not ask(NEW_DATA, found=left, patience=replace(patience, maximum_wait_hours=6)).start


OBJECTS = st.lists(
    st.builds(
        RawObject,
        st.text("abc/", min_size=1, max_size=4),
        st.integers(0, 9),
        st.text("ef", max_size=2),
        st.integers(0, 99).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    ),
    unique_by=lambda each: each.key,
    max_size=6,
)


@given(OBJECTS, st.randoms(use_true_random=False))
def test_contents_don_t_depend_on_the_order_and_change_with_each_object(
    objects: list[RawObject], random: Any
) -> None:
    found = contents(objects, NOW)
    shuffled = list(objects)
    random.shuffle(shuffled)
    assert contents(shuffled, NOW) == found
    assert (found.objects, found.bytes) == (len(objects), sum(each.size for each in objects))
    for at, each in enumerate(objects):
        changed = [*objects[:at], replace(each, etag=f"{each.etag}x"), *objects[at + 1 :]]
        assert contents(changed, NOW).digest != found.digest


def test_what_is_remembered_survives_as_a_document_and_anything_else_is_refused() -> None:
    assert Memory.from_document(RUN.to_document()) == RUN
    assert Memory.from_document({}) == Memory()
    broken: list[dict[str, Any]] = [{"version": "1"}, {"started": None}, {"bytes": True}]
    for document in [*broken, {"ended": [1]}, {"ended": {"a": {}}}]:
        with pytest.raises(FormatError, match="can't be read"):
            Memory.from_document(document)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(
        SettingsError, match="source is 'None': expected one of schedule, new-data, run-ended"
    ):
        ask("None")
