"""From where data differs too much from the champion's: the setting ``drift``, and an input's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmrec.dataset.section import is_number, shown
from fmrec.errors import SettingsError

LIMITS: dict[str, tuple[float, float | None, str]] = {
    "fewer_rows": (0.0, 1.0, "share of the rows that is gone"),
    "fewer_users": (0.0, 1.0, "share of the number of users that is gone"),
    "fewer_items": (0.0, 1.0, "share of the number of items that is gone"),
    "new_users": (0.0, 1.0, "share of users whom the champion doesn't know"),
    "new_items": (0.0, 1.0, "share of items that the champion doesn't know"),
    "quarantined": (0.0, 1.0, "share of the rows in quarantine"),
    "interactions_per_user": (0.0, None, "relative change of the interactions per user"),
    "popularity_psi": (0.0, None, "PSI of the items' popularity"),
    "label_psi": (0.0, None, "PSI of the labels"),
    "time_gap": (0.0, None, "number of days by which the longest gap is longer"),
}
"""What can be limited: lowest and highest limit, and what it measures."""
WARN: dict[str, float] = {
    "fewer_rows": 0.2,
    "fewer_users": 0.2,
    "fewer_items": 0.2,
    "new_users": 0.5,
    "new_items": 0.5,
    "quarantined": 0.05,
    "interactions_per_user": 0.5,
    "popularity_psi": 0.25,
    "label_psi": 0.25,
    "time_gap": 0,
}
"""Warnings by default. Nothing stops a run by default: what is normal differs from shop to shop."""
LEVELS = ("warn", "stop")


def limits(*layers: Mapping[str, Any] | None) -> dict[str, dict[str, float]]:
    """``warn`` and ``stop``: measure → limit. A later layer's section stands in for the earlier one's.

    Raises
    ------
    SettingsError
        An unknown section or measure, or a limit out of range.
    """
    merged: dict[str, dict[str, float]] = {"warn": dict(WARN), "stop": {}}
    for layer in layers:
        if layer is None:
            continue
        if not isinstance(layer, Mapping):
            raise SettingsError(f"drift is {layer!r}: expected an object with {' and '.join(LEVELS)}")
        for level, own in layer.items():
            if level not in LEVELS:
                raise SettingsError(f"drift.{level} is unknown: expected {' or '.join(LEVELS)}")
            if own is None:
                continue
            if not isinstance(own, Mapping):
                raise SettingsError(f"drift.{level} is {own!r}: expected an object of measures and limits")
            merged[level] = {measure: _limit(level, measure, value) for measure, value in own.items()}
    return merged


def _limit(level: str, measure: str, value: Any) -> float:
    if measure not in LIMITS:
        raise SettingsError(f"drift.{level}.{measure} is unknown: expected one of {', '.join(LIMITS)}")
    low, high, meaning = LIMITS[measure]
    if not is_number(value):
        raise SettingsError(f"drift.{level}.{measure} is {shown(value)}: expected a number, the {meaning}")
    if value < low or (high is not None and value > high):
        upper = "" if high is None else f" to {high:g}"
        raise SettingsError(
            f"drift.{level}.{measure} is {value!r}: expected a number from {low:g}{upper}, the {meaning}"
        )
    return float(value)
