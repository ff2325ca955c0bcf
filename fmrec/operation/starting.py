"""Does a run start now? The decision, over plain facts: what is in the bucket, what ran last, what runs.

A schedule asks at its times, new data is looked for at short intervals, and the end of a run asks for those
that had to wait. One run at a time: who comes while one is under way waits, and starts when it has ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fmrec.errors import MALFORMED, FormatError, SettingsError

SCHEDULE, NEW_DATA, RUN_ENDED = "schedule", "new-data", "run-ended"
SOURCES = (SCHEDULE, NEW_DATA, RUN_ENDED)
SUCCEEDED, FAILURES = "SUCCEEDED", ("FAILED", "TIMED_OUT", "ABORTED")
STARTING = timedelta(hours=1)
"""A run that was remembered so lately and isn't there was about to be started when its starter was ended."""
STALE = timedelta(minutes=10)
"""Step Functions may show a run as under way for a moment after its end; this is far longer."""


@dataclass(frozen=True)
class Patience:
    """When new data starts a run."""

    quiet_minutes: float = 10
    """Nothing may have been uploaded for so long: an upload of many files is one upload."""
    minimum_megabytes: float = 0
    """New data of at least so many bytes starts a run at once …"""
    maximum_wait_hours: float = 24
    """… and less of it when it has waited for so long."""


@dataclass(frozen=True)
class RawObject:
    """An object of the raw data; `changed` is when it was written."""

    key: str
    size: int
    etag: str
    changed: datetime


@dataclass(frozen=True)
class Contents:
    """What lies under the watched prefixes."""

    objects: int = 0
    bytes: int = 0
    digest: str = ""
    newest: datetime | None = None
    oldest_since: datetime | None = None
    """The earliest change after the last run was started."""


@dataclass(frozen=True)
class Ended:
    """How a run ended, as the event at its end says."""

    status: str
    at: str


@dataclass(frozen=True)
class Memory:
    """What the starter remembers of a data set."""

    version: int = 0
    """Counts changes, which is up to who keeps the record (`start_step`): it is only ever replaced if it is
    still the one that was read.
    """
    execution_arn: str = ""
    """The last run that was started here."""
    started: str = ""
    started_by: str = ""
    digest: str = ""
    bytes: int = 0
    waiting: str = ""
    """Who waits for the end of a run: a source, or empty."""
    said: str = ""
    """The last decision in words."""
    said_at: str = ""
    ended: dict[str, Ended] = field(default_factory=dict)
    """Runs that ended lately, by ARN: Step Functions may still list them as under way."""

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Memory:
        """Raise FormatError unless it is a record of the starter."""
        try:
            known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
            ended = {
                arn: Ended(str(end["status"]), str(end["at"])) for arn, end in known.pop("ended", {}).items()
            }
            for name, value in known.items():
                if type(value) is not (int if name in ("version", "bytes") else str):
                    raise TypeError(f"{name} is {value!r}")
            return cls(**known, ended=ended)
        except MALFORMED as error:
            raise FormatError(
                f"the record of what was started can't be read ({error!r}): delete it"
            ) from error


@dataclass(frozen=True)
class Decision:
    """Whether to start, why or why not, and what to remember."""

    start: bool
    sentence: str
    started_by: str
    memory: Memory = field(default_factory=Memory)


def contents(objects: Iterable[RawObject], since: datetime | None) -> Contents:
    """Sum up a listing, whatever its order. ``since`` is when the last run was started."""
    digest, count, size = hashlib.sha256(), 0, 0
    newest: datetime | None = None
    oldest_since: datetime | None = None
    for found in sorted(objects, key=lambda each: each.key):
        digest.update(f"{found.key}\0{found.size}\0{found.etag}\n".encode())
        count, size = count + 1, size + found.size
        newest = found.changed if newest is None else max(newest, found.changed)
        if since is None or found.changed > since:
            oldest_since = found.changed if oldest_since is None else min(oldest_since, found.changed)
    return Contents(count, size, digest.hexdigest() if count else "", newest, oldest_since)


def asked_by(source: str, memory: Memory) -> str:
    """Who wants a run; empty if nobody does.

    At the end of a run that is who waited for it. A schedule that waits is not forgotten when new data is
    looked for before the end of the run has been reported: it asks then.

    Raises
    ------
    SettingsError
        An unknown source.
    """
    if source not in SOURCES:
        raise SettingsError(f"source is {source!r}: expected one of {', '.join(SOURCES)}")
    if source == RUN_ENDED or (source == NEW_DATA and memory.waiting == SCHEDULE):
        return memory.waiting
    return source


def with_end(memory: Memory, execution_arn: str, status: str, now: datetime) -> Memory:
    """What is remembered once a run's end has been reported; ends of long ago are forgotten."""
    lately = {arn: end for arn, end in memory.ended.items() if now - _time(end.at) < STALE}
    lately[execution_arn] = Ended(status, now.isoformat(timespec="seconds"))
    return replace(memory, ended=lately)


def never_started(memory: Memory, last_status: str, now: datetime) -> bool:
    """Whether the run that was remembered last isn't there though it should be.

    Its starter was ended between remembering it and starting it, or Step Functions doesn't show it yet.
    """
    return (
        bool(memory.execution_arn)
        and not last_status
        and memory.execution_arn not in memory.ended
        and now - _time(memory.started) < STARTING
    )


def none_waits(memory: Memory) -> Decision:
    """The decision where nobody wants a run; nothing of the account matters to it."""
    return Decision(False, "A run has ended, and none waits for it.", RUN_ENDED, memory)


def decide(
    source: str,
    *,
    now: datetime,
    memory: Memory,
    found: Contents,
    running: str,
    last_status: str,
    patience: Patience,
) -> Decision:
    """Decide whether a run starts.

    Parameters
    ----------
    source
        Who asks: one of `SOURCES`.
    found
        What lies under the watched prefixes now.
    running
        Name of an execution of this data set that is under way, or empty.
    last_status
        How the last run that was started here stands; empty if there is no such execution.
    patience
        What new data waits for.

    Raises
    ------
    SettingsError
        An unknown source.
    """
    asked = asked_by(source, memory)
    if not asked:
        return none_waits(memory)
    # A run that never came to be has done nothing with the data.
    unchanged = found.digest == memory.digest and bool(last_status)
    if not found.objects:
        return _no(memory, now, "There is no raw data yet: upload interactions first.", asked)
    if unchanged and (asked == NEW_DATA or (last_status == SUCCEEDED and not running)):
        how = f", which ended as {last_status}" if last_status in FAILURES else ""
        words = f"Nothing has changed since run {name_of(memory.execution_arn)} was started{how}: skipped."
        return _no(memory, now, words, asked, memory.waiting if running else "")
    if running:
        words = f"Run {running} is under way: the next one starts when it has ended."
        return _no(memory, now, words, asked, memory.waiting or asked)
    reason = _patience(now, memory, found, patience) if asked == NEW_DATA else ""
    if reason:
        return _no(memory, now, reason, asked)
    words = (
        f"Started by {asked}: {found.objects:,} objects of {found.bytes:,} bytes"
        + (", the same as before, because the last run did not succeed" if unchanged else "")
        + "."
    )
    remembered = replace(
        memory,
        started=now.isoformat(timespec="seconds"),
        started_by=asked,
        digest=found.digest,
        bytes=found.bytes,
        waiting="",
        said=words,
        said_at=now.isoformat(timespec="seconds"),
    )
    return Decision(True, words, asked, remembered)


def execution_name(memory: Memory) -> str:
    """A name that says what started the run and when; no other start has it, not even of the same second.

    ``memory`` is what will be remembered of the start.
    """
    at = datetime.fromisoformat(memory.started).astimezone(UTC)
    return f"{memory.started_by}-{at:%Y%m%dT%H%M%S}-{memory.version}"


def _patience(now: datetime, memory: Memory, found: Contents, patience: Patience) -> str:
    """Why new data has to wait; empty if it doesn't."""
    newest = found.newest or now
    if now - newest < timedelta(minutes=patience.quiet_minutes):
        return (
            f"New data was uploaded at {newest:%H:%M:%S} UTC: waiting until nothing has been for "
            f"{patience.quiet_minutes:g} minutes."
        )
    new_bytes = max(0, found.bytes - memory.bytes)
    if not memory.execution_arn or new_bytes >= patience.minimum_megabytes * 1e6:
        return ""
    # What was only removed has no time of its own.
    since = found.oldest_since or _time(memory.started)
    if now - since >= timedelta(hours=patience.maximum_wait_hours):
        return ""
    return (
        f"{new_bytes:,} bytes are new since {since:%Y-%m-%d %H:%M} UTC: waiting for "
        f"{patience.minimum_megabytes:g} MB, or until {patience.maximum_wait_hours:g} hours have passed."
    )


def _no(memory: Memory, now: datetime, words: str, source: str, waiting: str = "") -> Decision:
    """No run, and who waits for the end of one."""
    said = replace(
        memory,
        waiting=waiting,
        said=words,
        said_at=now.isoformat(timespec="seconds"),
    )
    return Decision(False, words, source, said)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def name_of(execution_arn: str) -> str:
    """Name of an execution."""
    return execution_arn.rpartition(":")[2]
