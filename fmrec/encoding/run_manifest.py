"""A run's counts as its manifest: they must add up, and leave something to learn from."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np

from fmrec.artifacts.manifest import Channel, Dropped, Manifest, Rows
from fmrec.dataset import BinaryLabel, Dataset, ImplicitLabel
from fmrec.encoding.ingest.read_interactions import Ingested
from fmrec.encoding.stored_parts import TaskSummary
from fmrec.encoding.training_check import Outcome
from fmrec.errors import FormatError


def channel_of(name: str, dataset: Dataset, summary: TaskSummary) -> Channel:
    """Return what train or test holds.

    Raises
    ------
    FormatError
        Other rows were written than were counted on their way.
    """
    parts = summary.of(name)
    rows, expected = sum(stored.rows for stored in parts), summary.tally.channel(name).records
    if rows != expected:
        raise FormatError(f"{rows} rows were written to {name}/, but {expected} were expected")
    binary = isinstance(dataset.label, BinaryLabel | ImplicitLabel)
    share = sum(stored.positives for stored in parts) / rows if binary and rows else None
    return Channel(f"{name}/", rows, len(parts), sum(stored.part.bytes for stored in parts), share)


def outcome_of(read: Ingested, summary: TaskSummary, events: dict[str, int]) -> Outcome:
    """Return what became of the rows."""
    tally = summary.tally
    dropped = tally.dropped
    return Outcome(
        read=read.rows,
        train=tally.train.records,
        positives=sum(stored.positives for stored in summary.of("train")),
        left_out=dropped[Dropped.USER_LEFT_OUT],
        held_out=tally.test.encoded + dropped[Dropped.HELD_OUT_FOR_TEST],
        not_picked=dropped[Dropped.NOT_PICKED],
        below_minimum=dropped[Dropped.USER_BELOW_MINIMUM] + dropped[Dropped.ITEM_BELOW_MINIMUM],
        unknown=dropped[Dropped.USER_NOT_IN_TRAIN] + dropped[Dropped.ITEM_NOT_IN_TRAIN],
        events=events,
    )


def manifest_of(
    run: str,
    dataset: Dataset,
    read: Ingested,
    summary: TaskSummary,
    ranges: dict[str, tuple[int, int]],
    seconds: float,
    details: dict[str, Any],
) -> Manifest:
    """Return the run's manifest.

    Raises
    ------
    FormatError
        The counts don't add up.
    """
    tally = summary.tally
    train, test = (channel_of(name, dataset, summary) for name in ("train", "test"))
    nonzeros = sum(stored.nonzeros for stored in summary.of("train"))
    dropped = tally.dropped_reasons
    rows = Rows(
        read=read.rows,
        encoded=tally.train.encoded + tally.test.encoded,
        train=tally.train.encoded,
        test=tally.test.encoded,
        quarantined=sum(read.bad.values()),
        dropped=sum(dropped.values()),
    )
    rows.reconcile()
    return Manifest(
        run=run,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        dataset=dataset.to_document(),
        feature_dim=max(end for _, end in ranges.values()),
        nnz_per_row=round(nonzeros / max(train.rows, 1), 6),
        users=ranges["user"][1],
        items=ranges["item"][1] - ranges["item"][0],
        ranges=ranges,
        rows=rows,
        train=train,
        test=test,
        quarantine_reasons=dict(sorted(read.bad.items())),
        dropped_reasons=dropped,
        seconds=seconds,
        details={
            "files": read.files,
            "negatives": {"train": tally.train.negatives, "test": tally.test.negatives},
            "repeated": {"train": tally.train.repeated},
            **({"thinned": {"train": tally.train.thinned}} if tally.train.thinned else {}),
            **({"days": days_of(tally.days)} if tally.days else {}),
            **({"values": dict(tally.values)} if tally.values else {}),
        }
        | details,
    )


def days_of(counted: Mapping[str, int]) -> dict[str, Any]:
    """Say of rows by day since 1970 when they begin and end, and the longest time without any.

    Returns
    -------
    dict
        ``first`` and ``last`` day, ``used``, how many days have rows, ``longest_gap``, how many days in a row
        have none, and ``gap_after``, the day before those.
    """
    days = np.sort(np.array(list(counted), np.int64))
    gaps = np.diff(days) - 1
    widest = int(np.argmax(gaps)) if len(gaps) else 0
    longest = int(gaps[widest]) if len(gaps) else 0
    return {
        "first": _day(days[0]),
        "last": _day(days[-1]),
        "used": len(days),
        "longest_gap": longest,
        "gap_after": _day(days[widest]) if longest else "",
    }


def _day(since_1970: Any) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=int(since_1970))).isoformat()
