"""What stages count: rows by what became of them, by day and by value. Tallies of all tasks add up to the
manifest's counts.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.artifacts.manifest import Dropped

SECONDS_A_DAY = 86400
DAYS = (-25567, 84005)
"""1900 and 2200 as days since 1970: what is before or after counts as of the first or the last of them."""
DIGITS = 2
SMALLEST, LARGEST = 1e-300, 1e300
HALFWAY = 1e-6
"""Far more than what dividing by a power of ten changes."""


@dataclass
class ChannelTally:
    """Rows of train or test: interactions that were encoded, their repetitions, and sampled negatives.

    ``thinned`` are repetitions that were not written, since their users have picked so much.
    """

    encoded: int = 0
    repeated: int = 0
    negatives: int = 0
    thinned: int = 0

    @property
    def records(self) -> int:
        return self.encoded + self.repeated + self.negatives

    def add(self, other: ChannelTally) -> None:
        self.encoded += other.encoded
        self.repeated += other.repeated
        self.negatives += other.negatives
        self.thinned += other.thinned


@dataclass
class Tally:
    """Counts of one task, or of all."""

    train: ChannelTally = field(default_factory=ChannelTally)
    test: ChannelTally = field(default_factory=ChannelTally)
    dropped: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    """Rows by day since 1970."""
    values: Counter[str] = field(default_factory=Counter)
    """Rows by value, to two significant digits."""

    def channel(self, name: str) -> ChannelTally:
        return self.train if name == "train" else self.test

    def add(self, other: Tally) -> None:
        self.train.add(other.train)
        self.test.add(other.test)
        self.dropped.update(other.dropped)
        self.days.update(other.days)
        self.values.update(other.values)

    def drop(self, reason: Dropped, rows: int) -> None:
        if rows:
            self.dropped[reason.value] += rows

    def count_days(self, times: NDArray[np.float64]) -> None:
        """Count rows by day; times are in seconds since 1970."""
        if not len(times):
            return
        quotients = times / SECONDS_A_DAY
        days = np.floor(quotients, out=quotients)
        days -= days * SECONDS_A_DAY > times  # a quotient just below an integer is rounded to it
        days = np.clip(days, *DAYS, out=days).astype(np.int32)
        first = int(days.min())
        days -= first
        counts = np.bincount(days)
        found = np.flatnonzero(counts)
        self.days.update(dict(zip(map(str, (first + found).tolist()), counts[found].tolist(), strict=True)))

    def count_values(self, values: NDArray[np.float64]) -> None:
        """Count rows by value, rounded so that the bins are few and the same in every run."""
        found, counts = np.unique(values, return_counts=True)
        bins, bin_of = np.unique(_rounded(found), return_inverse=True)
        rows = np.zeros(len(bins), np.int64)
        np.add.at(rows, bin_of, counts)
        for value, count in zip(bins.tolist(), rows.tolist(), strict=True):
            self.values[f"{value:.{DIGITS}g}"] += count

    @property
    def dropped_reasons(self) -> dict[str, int]:
        return {reason: count for reason, count in sorted(self.dropped.items()) if count}

    def to_json(self) -> bytes:
        found = {"train": asdict(self.train), "test": asdict(self.test), "dropped": self.dropped}
        found |= {"days": self.days, "values": self.values}
        return json.dumps(found).encode()

    @classmethod
    def from_json(cls, data: bytes | memoryview) -> Tally:
        found: dict[str, Any] = json.loads(bytes(data))
        counters = (Counter(found[name]) for name in ("dropped", "days", "values"))
        return cls(ChannelTally(**found["train"]), ChannelTally(**found["test"]), *counters)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values as near to two significant digits as it takes to write the same ones: few where values are many.

    What lies about halfway between two, and what has no such digits, stays as it is.
    """
    size = np.abs(values)
    usual = (size > SMALLEST) & (size < LARGEST)
    unit = np.ones_like(values)
    unit[usual] = 10.0 ** (np.floor(np.log10(size[usual])) - DIGITS + 1)
    scaled = np.where(usual, values, 0.0) / unit
    usual &= np.abs(scaled - np.floor(scaled) - 0.5) > HALFWAY
    return np.where(usual, np.rint(scaled) * unit, values) + 0.0  # no minus zero
