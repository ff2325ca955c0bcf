"""What a run and a month would cost, each amount with the basis it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmrec.instances.catalogue import Prices
from fmrec.instances.chooser import Choice
from fmrec.instances.workloads import Request, Workload


def estimate(
    request: Request, chosen: Mapping[str, tuple[Workload, Choice]], prices: Prices
) -> dict[str, Any]:
    """Return what the first candidates would cost."""
    return {"currency": prices.currency, "prices": {"source": prices.source, "notes": list(prices.notes)}}
