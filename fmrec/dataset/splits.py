"""Which interactions are held out for testing: the ``split`` section."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

from fmrec.dataset.section import Section

VALIDATION_SEED = 1 << 20

METHODS = ("leave-first-n", "leave-last-n", "time-cut", "random", "none")


@dataclass(frozen=True)
class LeaveFirstN:
    """Each user's first ``n`` interactions in file order are test: MovieLens' own ``ua`` protocol."""

    n: int = 10
    method = "leave-first-n"


@dataclass(frozen=True)
class LeaveLastN:
    """Each user's ``n`` latest interactions by timestamp are test; file order decides between equals."""

    n: int = 1
    method = "leave-last-n"


@dataclass(frozen=True)
class TimeCut:
    """Interactions at or after ``at`` (epoch seconds, or ISO 8601) are test."""

    at: float | str
    method = "time-cut"

    @property
    def seconds(self) -> float:
        """The cut in seconds since 1970."""
        return _seconds(self.at) if isinstance(self.at, str) else self.at


@dataclass(frozen=True)
class RandomSplit:
    """A seeded ``share`` of the user-item pairs is test."""

    share: float = 0.1
    seed: int = 0
    method = "random"


@dataclass(frozen=True)
class NoSplit:
    """Everything is for training; the test channel is empty."""

    method = "none"


Split = LeaveFirstN | LeaveLastN | TimeCut | RandomSplit | NoSplit


def for_validation(split: Split) -> Split:
    """How what a split leaves for training is split once more, into rows to fit and rows to choose by.

    The same way as test rows were held out, where that can be done twice. After a cut in time each user's
    latest interaction is the nearest to what is to be foretold; where nothing was held out it is a tenth.
    """
    match split:
        case TimeCut():
            return LeaveLastN(1)
        case RandomSplit(share, seed):
            # With another seed: the same one would find the same pairs, which are gone.
            return RandomSplit(share, seed + VALIDATION_SEED)
        case NoSplit():
            return RandomSplit()
        case _:
            return split


def take_split(section: Section) -> Split:
    method = section.choice("method", METHODS, "leave-first-n")
    split: Split
    if method == "leave-first-n":
        split = LeaveFirstN(section.integer("n", 10, least=1))
    elif method == "leave-last-n":
        split = LeaveLastN(section.integer("n", 1, least=1))
    elif method == "time-cut":
        split = TimeCut(_take_time(section))
    elif method == "random":
        split = RandomSplit(
            section.number("share", 0.1, above=0, below=1), section.integer("seed", 0, least=0)
        )
    else:
        split = NoSplit()
    section.finish()
    return split


def split_to_document(split: Split) -> dict[str, Any]:
    return {"method": split.method} | asdict(split)


def _take_time(section: Section) -> float | str:
    at = section.take("at", expected="a time in ISO 8601 or in seconds since 1970")
    try:
        if isinstance(at, str):
            _seconds(at)
            return at
        return float(section.number("at"))
    except ValueError:
        raise section.error("at", "a time in ISO 8601 or in seconds since 1970") from None


def _seconds(iso8601: str) -> float:
    moment = datetime.datetime.fromisoformat(iso8601)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
