"""What encoding has to give, computed with pandas from a layout's independent reading.

Pairs of ids stand for columns: nothing here knows how the encoding numbers them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as pads

from fmrec.recordio import decode

Pair = tuple[str, str]
Entries = dict[tuple[str, str], float]
"""Weights by namespace and name."""


@dataclass(frozen=True)
class Row:
    """A decoded row: its ids, its other entries, and its label."""

    user: str
    item: str
    entries: Entries
    label: float


def decoded(output: Path, channel: str) -> list[Row]:
    """Read a channel back, with names for columns."""
    index = pads.dataset(output / "feature_index").to_table().to_pylist()
    names = {entry["column"]: (entry["namespace"], entry["name"]) for entry in index}
    parts = sorted((output / channel).iterdir())
    matrix, labels = decode(b"".join(path.read_bytes() for path in parts))
    assert labels is not None
    rows = []
    for at, label in enumerate(labels.tolist()):
        entries = {
            names[column]: float(value)
            for column, value in zip(
                matrix.indices[matrix.indptr[at] : matrix.indptr[at + 1]].tolist(),
                matrix.data[matrix.indptr[at] : matrix.indptr[at + 1]].tolist(),
                strict=True,
            )
        }
        ids = {
            namespace: name for (namespace, name), value in entries.items() if namespace in ("user", "item")
        }
        assert entries.pop(("user", ids["user"])) == 1
        assert entries.pop(("item", ids["item"])) == 1
        rows.append(Row(ids["user"], ids["item"], entries, label))
    return rows


def resolved(frame: pd.DataFrame, document: Mapping[str, Any]) -> pd.DataFrame:
    """Apply ``duplicates``: one row per pair, the last by time and then by order, or the sum."""
    frame = frame.assign(order=range(len(frame)))
    if "time" not in frame:
        frame = frame.assign(time=0.0)
    frame = frame.sort_values(["time", "order"], kind="stable")
    method = document.get("duplicates", "all")
    if method == "sum":
        frame = frame.assign(value=frame.groupby(["user", "item"])["value"].transform("sum"))
    if method != "all":
        frame = frame.groupby(["user", "item"], sort=False).tail(1)
    return frame


def held_out(frame: pd.DataFrame) -> pd.Series:
    """Say which rows ``leave-last-n`` with 1 holds out, of rows in the order of their times."""
    return frame.groupby("user").cumcount(ascending=False) == 0


def weights(frame: pd.DataFrame, document: Mapping[str, Any]) -> pd.Series:
    """Return how often each row is written as a positive: 0 for what isn't picked."""
    label = document["label"]
    weight = pd.Series(1.0, index=frame.index)
    if "event_weights" in label:
        weight = frame.event.map(label["event_weights"]).fillna(0.0)
    if "threshold" in label:
        weight = weight.where(frame.value >= label["threshold"], 0.0)
    return weight


def positives(rows: list[Row]) -> Counter[Pair]:
    """Count the positive rows by pair."""
    return Counter((row.user, row.item) for row in rows if row.label == 1)


def bounds(frame: pd.DataFrame, weight: pd.Series) -> dict[Pair, tuple[int, int]]:
    """Return between what counts a pair's positives lie: a fraction is a chance."""
    low: dict[Pair, int] = defaultdict(int)
    high: dict[Pair, int] = defaultdict(int)
    for user, item, times in zip(frame.user, frame.item, weight, strict=True):
        low[user, item] += int(np.floor(times))
        high[user, item] += int(np.ceil(times))
    return {pair: (low[pair], high[pair]) for pair in high}


def side_entries(
    frame: pd.DataFrame | None, ids: list[str], features: list[dict[str, Any]]
) -> dict[str, Entries]:
    """Return each id's entries, measured over the ids that are encoded."""
    entries: dict[str, Entries] = {owner: {} for owner in ids}
    if frame is None:
        return entries
    known = frame[~frame.index.duplicated(keep="last")].reindex(ids)
    for feature in features:
        texts = known[feature.get("column", feature["name"])]
        for owner, found in _entries(texts, feature).items():
            entries[owner] |= {(feature["name"], name): weight for name, weight in found.items()}
    return entries


def _entries(texts: pd.Series, feature: dict[str, Any]) -> dict[str, dict[str, float]]:
    kind, scale = feature.get("kind", "categorical"), 0.1
    filled = {
        owner: value
        for owner, value in texts.items()
        if isinstance(value, list) or (value is not None and value == value and str(value).strip())
    }
    if kind == "multi-valued":
        separator = feature.get("separator", "|")
        lists = {
            owner: {word.strip() for word in (value if isinstance(value, list) else value.split(separator))}
            - {""}
            for owner, value in filled.items()
        }
        return {owner: {word: scale / len(words) for word in words} for owner, words in lists.items()}
    if kind == "numeric":
        numbers = pd.Series(filled).astype(float)
        return {
            owner: {feature["name"]: scale * (number - numbers.mean()) / numbers.std(ddof=0)}
            for owner, number in numbers.items()
        }
    if kind == "bucket":
        return _buckets(pd.Series(filled).astype(float), feature["buckets"], scale)
    if kind == "date-part":
        return {
            owner: {str(_year(value, feature["timestamp_format"])): scale} for owner, value in filled.items()
        }
    return {owner: {str(value).strip(): scale} for owner, value in filled.items()}


def _buckets(numbers: pd.Series, buckets: int, scale: float) -> dict[str, dict[str, float]]:
    shares = [at / buckets for at in range(1, buckets)]
    edges = sorted(
        set(np.quantile(numbers.to_numpy(), shares, method="inverted_cdf").tolist()) - {numbers.max()}
    )
    shown = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
    found = {}
    for owner, number in numbers.items():
        at = sum(edge < number for edge in edges)
        found[owner] = {f"{at} ({shown[at]}, {shown[at + 1]}]": scale}
    return found


PATTERNS = {
    "dd-MMM-yyyy": "%d-%b-%Y", "MMM d, yyyy": "%b %d, %Y", "seconds": None,
}  # fmt: skip


def _year(text: Any, timestamp_format: str) -> int:
    pattern = PATTERNS[timestamp_format]
    moment = pd.Timestamp(float(text), unit="s") if pattern is None else pd.to_datetime(text, format=pattern)
    return int(moment.year)
