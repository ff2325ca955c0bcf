"""What an event of a data set needs, for a click that means "liked it"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def click(document: Mapping[str, Any]) -> dict[str, Any]:
    """What an event needs, by the data set document.

    ``value`` is the least that counts as liked, ``event`` the kinds, the weightiest first; None where the
    data set has no such column.
    """
    columns = (document.get("interactions") or {}).get("columns") or {}
    label = document.get("label") or {}
    weights = label.get("event_weights") or {}
    threshold = label.get("threshold")
    kinds = [kind for kind, weight in sorted(weights.items(), key=lambda pair: -pair[1]) if weight > 0]
    return {
        "value": None if "value" not in columns else float(1 if threshold is None else threshold),
        "event": None if "event" not in columns else kinds,
    }
