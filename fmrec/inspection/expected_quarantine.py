"""What a run would quarantine or drop, judged by the sampled rows."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fmrec.dataset import Dataset
from fmrec.inspection.profiles import Cell
from fmrec.inspection.tables import Table
from fmrec.inspection.times import seconds_reader

LARGEST_FLOAT32 = 3.4028234663852886e38


@dataclass(frozen=True)
class Expected:
    """Sampled rows that can't be used for one reason; ``share`` of all sampled rows."""

    reason: str
    column: str | None
    rows: int
    share: float
    example: str


def expect_quarantine(table: Table, dataset: Dataset) -> list[Expected]:
    """Check the sampled rows as the encoding job does, by the document's settings.

    The reasons are the quarantine's own; the first that applies to a row counts.
    """
    total = table.rows + sum(bad.count for bad in table.bad)
    if not total:
        return []
    found = [Expected(bad.reason, None, bad.count, bad.count / total, bad.examples[0]) for bad in table.bad]
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    left = list(range(table.rows))
    for column, check in _checks(dataset):
        cells = table.columns[column]
        still = []
        for row in left:
            reason = check(cells[row])
            if reason is None:
                still.append(row)
            else:
                counts[reason, column] += 1
                examples.setdefault((reason, column), str(cells[row] if cells[row] is not None else ""))
        left = still
    found += [
        Expected(reason, column, count, count / total, examples[reason, column])
        for (reason, column), count in counts.most_common()
    ]
    return found


def _checks(dataset: Dataset) -> list[tuple[str, Callable[[Cell], str | None]]]:
    interactions, limits = dataset.interactions, dataset.quarantine
    source, names = interactions.source, interactions.columns
    absent = {"", *source.missing}
    checks: list[tuple[str, Callable[[Cell], str | None]]] = []

    def id_check(role: str) -> Callable[[Cell], str | None]:
        def check(cell: Cell) -> str | None:
            if _is_missing(cell, absent):
                return f"missing {role}"
            if isinstance(cell, list) and not _separated(dataset, role):
                return f"{role} is a list"
            if isinstance(cell, str) and not _separated(dataset, role) and len(cell) > limits.max_id_length:
                return f"{role} too long"
            return None

        return check

    for role in ("user", "item"):
        checks.append((names[role], id_check(role)))
    if "value" in names and not interactions.item_value_separator:
        checks.append((names["value"], lambda cell: _value_problem(cell, absent, source.decimal)))
    if "timestamp" in names:
        read = seconds_reader(interactions.timestamp_format)
        first, last = (
            datetime.datetime.fromisoformat(at).timestamp() for at in (limits.earliest, limits.latest)
        )
        checks.append((names["timestamp"], lambda cell: _time_problem(cell, absent, read, first, last)))
    if "event" in names:
        checks.append((names["event"], lambda cell: "missing event" if _is_missing(cell, absent) else None))
    return checks


def _separated(dataset: Dataset, role: str) -> bool:
    return role == "item" and dataset.interactions.item_separator is not None


def _is_missing(cell: Cell, absent: set[str]) -> bool:
    if isinstance(cell, list):
        return not cell
    return cell is None or cell.strip() in absent


def _value_problem(cell: Cell, absent: set[str], decimal: str) -> str | None:
    if _is_missing(cell, absent):
        return "missing value"
    text = str(cell).strip()
    try:
        value = float(text.replace(decimal, "."))
    except ValueError:
        return "value is not a number"
    return None if abs(value) <= LARGEST_FLOAT32 and not math.isnan(value) else "value is not finite"


def _time_problem(
    cell: Cell, absent: set[str], read: Callable[[str], float | None], first: float, last: float
) -> str | None:
    if _is_missing(cell, absent):
        return "missing timestamp"
    seconds = read(str(cell))
    if seconds is None:
        return "timestamp is not a time"
    return None if first <= seconds < last else "timestamp out of range"


def most_common(expected: Sequence[Expected], most: int = 4) -> str:
    """Say the reasons in words."""
    shown = sorted(expected, key=lambda entry: -entry.rows)[:most]
    return ", ".join(
        f"{entry.rows} {entry.reason}" + (f" in {entry.column}" if entry.column else "") for entry in shown
    )
