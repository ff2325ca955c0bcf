"""One event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One interaction, as a caller posted it."""

    event_id: str
    user_id: str
    item_id: str
    at: float
    """Seconds since 1970 in UTC."""
    event: str | None = None
    """Its kind (view, purchase), where the data set weighs kinds."""
    value: float | None = None
    """A rating or an amount, where the data set has a threshold."""
