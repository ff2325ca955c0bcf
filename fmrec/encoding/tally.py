"""What stages count: rows by what became of them. Tallies of all tasks add up to the manifest's counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from fmrec.artifacts.manifest import Dropped


@dataclass
class ChannelTally:
    """Rows of train or test: interactions that were encoded, their repetitions, and sampled negatives."""

    encoded: int = 0
    repeated: int = 0
    negatives: int = 0

    @property
    def records(self) -> int:
        return self.encoded + self.repeated + self.negatives

    def add(self, other: ChannelTally) -> None:
        self.encoded += other.encoded
        self.repeated += other.repeated
        self.negatives += other.negatives


@dataclass
class Tally:
    """Counts of one task, or of all."""

    train: ChannelTally = field(default_factory=ChannelTally)
    test: ChannelTally = field(default_factory=ChannelTally)
    dropped: Counter[str] = field(default_factory=Counter)

    def channel(self, name: str) -> ChannelTally:
        return self.train if name == "train" else self.test

    def add(self, other: Tally) -> None:
        self.train.add(other.train)
        self.test.add(other.test)
        self.dropped.update(other.dropped)

    def drop(self, reason: Dropped, rows: int) -> None:
        if rows:
            self.dropped[reason.value] += rows

    @property
    def dropped_reasons(self) -> dict[str, int]:
        return {reason: count for reason, count in sorted(self.dropped.items()) if count}

    def to_json(self) -> bytes:
        found = {"train": asdict(self.train), "test": asdict(self.test), "dropped": self.dropped}
        return json.dumps(found).encode()

    @classmethod
    def from_json(cls, data: bytes | memoryview) -> Tally:
        found: dict[str, Any] = json.loads(bytes(data))
        return cls(ChannelTally(**found["train"]), ChannelTally(**found["test"]), Counter(found["dropped"]))
