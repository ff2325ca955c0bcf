"""What a public layout is to these tests: files with its quirks, and an independent reading of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Read = Callable[[Path], pd.DataFrame]
TIMED = {"method": "leave-last-n", "n": 1}
DRAWN = {"method": "random", "share": 0.1}
PICKED = {"mode": "implicit"}


@dataclass(frozen=True)
class Layout:
    """A data set's files as people download them, with invented rows.

    Attributes
    ----------
    write
        Writes the files into a folder.
    inspect
        What is inspected, relative to the folder.
    document
        ``interactions`` of the document that a person would write, and other sections that matter.
    read
        Reads the interactions with pandas: ``user``, ``item``, and, where there are such, ``value``
        (number), ``time`` (seconds since 1970) and ``event``, in the files' order, without rows that
        can't be used.
    users, items
        Read attributes with pandas: texts by id, None where missing.
    features
        The features that the document has, by name.
    bad
        Rows that are quarantined, by reason.
    question
        A part of the one question that is asked.
    recipe
        The recipe that is named where no document describes the files.
    encoded
        Whether encoding by the document is compared too.
    """

    name: str
    write: Callable[[Path], None]
    document: dict[str, Any] = field(default_factory=dict)
    read: Read | None = None
    inspect: str = "."
    users: Read | None = None
    items: Read | None = None
    features: tuple[str, ...] = ()
    bad: dict[str, int] = field(default_factory=dict)
    question: str | None = None
    recipe: str | None = None
    encoded: bool = True


def generator(name: str) -> np.random.Generator:
    """Return random numbers that are the same in every run, and others for every layout."""
    return np.random.default_rng(sum(name.encode()))


def ratings(
    name: str, users: int = 30, items: int = 40, rows: int = 400, values: tuple[float, ...] = (1, 2, 3, 4, 5)
) -> pd.DataFrame:
    """Invent ratings: ``user`` and ``item`` from 0, ``value``, ``time`` in seconds; every pair once."""
    random = generator(name)
    pairs = random.choice(users * items, rows, replace=False)
    frame = pd.DataFrame(
        {
            "user": pairs // items,
            "item": pairs % items,
            "value": random.choice(values, rows),
            "time": 1_400_000_000 + random.choice(90 * 86_400, rows, replace=False),
        }
    )
    return frame.sort_values("user", kind="stable").reset_index(drop=True)


def lines(folder: Path, name: str, rows: list[str], encoding: str = "utf-8", end: str = "\n") -> None:
    """Write a text file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{row}{end}" for row in rows).encode(encoding))


def utc(seconds: int, pattern: str) -> str:
    """Write a time by strftime's letters; ``%-d`` and the like have no zero before them."""
    return str(pd.Timestamp(seconds, unit="s", tz="UTC").strftime(pattern))


def epoch(times: Any) -> pd.Series:
    """Return times in seconds since 1970."""
    return (pd.to_datetime(times, utc=True) - pd.Timestamp(0, unit="s", tz="UTC")).dt.total_seconds()


def liked(threshold: int = 4) -> dict[str, object]:
    """The label of ratings from a threshold on."""
    return {"mode": "implicit", "threshold": threshold}
