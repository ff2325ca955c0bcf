"""Is there something to learn from? What a run refuses, and what it warns of, once all rows are counted.

A setting that matches nothing in the data leaves a channel that no model can learn from, and would go on to
a paid training job. The sentence names the setting and what is in the data.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fmrec.dataset import (
    BinaryLabel,
    Dataset,
    ImplicitLabel,
    LeaveFirstN,
    LeaveLastN,
    NoSplit,
    RandomSplit,
    TimeCut,
)
from fmrec.errors import InputError

SHOWN = 10
YEARS = (-62_135_596_800, 253_402_300_800)
"""Seconds since 1970 that Python's dates reach."""


class Facts(Protocol):
    """What is in the data; looked up only where a sentence needs it."""

    def most_interactions_of_a_user(self) -> int: ...

    def values(self) -> tuple[float, float] | None:
        """Return the minimum and the maximum."""

    def times(self) -> tuple[float, float] | None:
        """Return the first and the last time, in seconds since 1970."""


@dataclass(frozen=True)
class Outcome:
    """What became of the rows.

    ``positives`` counts training rows whose label is 1; ``dropped`` rows by reason; ``held_out`` includes
    rows that validation drops.
    """

    read: int
    train: int
    positives: int
    held_out: int
    not_picked: int
    below_minimum: int
    unknown: int
    left_out: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    """How often each event occurs: those that ``event_weights`` names, and the most frequent."""


def check_training(dataset: Dataset, outcome: Outcome, facts: Facts) -> list[str]:
    """Return warnings about settings that match nothing.

    Raises
    ------
    InputError
        No row is left to train on, or under a binary label none that is positive.
    """
    if not outcome.train:
        raise InputError(_no_training_rows(dataset, outcome, facts))
    label = dataset.label
    warnings = []
    if isinstance(label, BinaryLabel):
        if not outcome.positives:
            raise InputError(
                f"no training label is 1: label.threshold is {label.threshold:g}, and {_values(facts)}; "
                "lower the threshold, or use another label.mode"
            )
        if outcome.positives == outcome.train:
            warnings.append(
                f"every training label is 1: label.threshold is {label.threshold:g}, and {_values(facts)}"
            )
    if isinstance(label, ImplicitLabel):
        unmatched = [
            event for event, weight in label.event_weights.items() if weight and event not in outcome.events
        ]
        if unmatched:
            warnings.append(
                f"label.event_weights names {_listed(unmatched)}, which no row has; {_events(outcome)}"
            )
    if not outcome.held_out and not isinstance(dataset.split, NoSplit):
        warnings.append(f"nothing is held out for test: {_split(dataset, facts)}")
    return warnings


def _no_training_rows(dataset: Dataset, outcome: Outcome, facts: Facts) -> str:
    where = {
        "held out for test": outcome.held_out,
        "of users left out of training": outcome.left_out,
        "not picked": outcome.not_picked,
        "of rare users or items": outcome.below_minimum,
        "of users or items that are not in train": outcome.unknown,
    }
    counts = ", ".join(f"{count} {name}" for name, count in where.items() if count)
    start = f"no training row is left of {outcome.read} rows read ({counts}): "
    label = dataset.label
    if outcome.not_picked and isinstance(label, ImplicitLabel):
        if label.event_weights and not set(label.event_weights) & set(outcome.events):
            return (
                f"{start}label.event_weights names {_listed(list(label.event_weights))}, which no row has; "
                f"{_events(outcome)}: correct the names"
            )
        if label.threshold is not None:
            return f"{start}label.threshold is {label.threshold:g}, and {_values(facts)}: lower the threshold"
        return f"{start}label.event_weights gives their events the weight 0 or a small chance: raise a weight"
    if outcome.left_out:
        return f"{start}label.left_out_users leaves so few users to train on: lower it"
    if outcome.held_out:
        return f"{start}{_split(dataset, facts)}; hold out less, or use another split.method"
    minimum = dataset.minimum_interactions
    return (
        f"{start}no user with {minimum.user} interactions has one with an item that has {minimum.item}: "
        "lower minimum_interactions"
    )


def _split(dataset: Dataset, facts: Facts) -> str:
    split = dataset.split
    if isinstance(split, LeaveFirstN | LeaveLastN):
        side = "first" if isinstance(split, LeaveFirstN) else "last"
        return (
            f"split.method {split.method!r} holds out each user's {side} {split.n} interactions, and no user "
            f"has more than {facts.most_interactions_of_a_user()}"
        )
    if isinstance(split, TimeCut):
        times = facts.times()
        between = f", and times go from {_moment(times[0])} to {_moment(times[1])}" if times else ""
        return f"split.at is {_moment(split.seconds)}{between}"
    if isinstance(split, RandomSplit):
        return f"split.share is {split.share:g}, of so few rows"
    return "validation rows are cut from so few"


def _values(facts: Facts) -> str:
    values = facts.values()
    return f"values go from {values[0]:g} to {values[1]:g}" if values else "there are no values"


def _events(outcome: Outcome) -> str:
    shown = sorted(outcome.events.items(), key=lambda event: (-event[1], event[0]))[:SHOWN]
    return "the rows have " + ", ".join(f"{name} ({count})" for name, count in shown)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _moment(seconds: float) -> str:
    if not YEARS[0] <= seconds < YEARS[1]:
        return f"{seconds:.0f} seconds since 1970"
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
