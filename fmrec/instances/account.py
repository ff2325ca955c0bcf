"""What the account may use and uses now. The only module here that calls AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Account:
    """Quotas and use of one account in one Region. A missing name is unknown, not zero."""

    quotas: Mapping[str, float] = field(default_factory=dict)
    """Quota name → applied value."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """Quota name → instances that count against it now."""
    notes: tuple[str, ...] = ()
    """What couldn't be read, and why, in words."""
