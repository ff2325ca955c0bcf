"""Quotas and prices kept between runs, each with the time at which it was read.

One JSON object, in S3 or on disk. A cache that is missing, foreign or broken is no cache; that it
can't be written is a note. Use is not kept: it changes by the minute.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from fmrec.errors import FmrecError
from fmrec.instances.catalogue import CALLS, Call, Prices
from fmrec.instances.quotas import Account
from fmrec.storage import object_store

VERSION = 1


@dataclass
class Cache:
    """What was read before, and what is to be kept."""

    region: str
    document: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    _changed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def read(cls, uri: str | None, region: str) -> Cache:
        """Read the cache of one Region; empty when there is none to be used."""
        if uri is None:
            return cls(region)
        try:
            if not object_store.exists(uri):
                return cls(region)
            document = json.loads(object_store.read_bytes(uri))
        except (FmrecError, ValueError) as error:
            return cls(region, notes=(f"the cache of quotas and prices can't be read: {error}",))
        if not isinstance(document, dict) or (document.get("version"), document.get("region")) != (
            VERSION,
            region,
        ):
            return cls(region)
        return cls(region, document)

    def write(self, uri: str | None) -> tuple[str, ...]:
        """Write what changed; return a note if that failed."""
        if uri is None or not self._changed:
            return ()
        document = {**self.document, "version": VERSION, "region": self.region}
        try:
            object_store.write_bytes(uri, json.dumps(document, allow_nan=False).encode())
        except FmrecError as error:
            return (f"the cache of quotas and prices can't be written: {error}",)
        return ()

    def quotas(self, maximum_age_seconds: float) -> Account | None:
        """Return the quotas kept, if they are young enough."""
        kept = self._young("quotas", maximum_age_seconds)
        if kept is None:
            return None
        try:
            return Account(
                quotas={str(name): float(value) for name, value in kept["values"].items()},
                codes={str(name): str(code) for name, code in kept["codes"].items()},
                notes=(f"quotas were read at {kept['read_at']}",),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def keep_quotas(self, values: Mapping[str, float], codes: Mapping[str, str]) -> None:
        self._keep("quotas", {"values": dict(values), "codes": dict(codes)})

    def prices(self, maximum_age_seconds: float) -> Prices | None:
        """Return the prices kept, if they are young enough."""
        kept = self._young("prices", maximum_age_seconds)
        if kept is None:
            return None
        try:
            per_hour = {
                (cast("Call", call), str(instance_type)): float(price)
                for call, types in kept["per_hour"].items()
                for instance_type, price in types.items()
            }
            return Prices(per_hour, str(kept["currency"]), str(kept["source"]), tuple(kept["notes"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def keep_prices(self, prices: Prices) -> None:
        per_hour = {
            call: {t: price for (c, t), price in prices.per_hour.items() if c == call} for call in CALLS
        }
        self._keep(
            "prices",
            {
                "per_hour": per_hour,
                "currency": prices.currency,
                "source": prices.source,
                "notes": list(prices.notes),
            },
        )

    def _young(self, part: str, maximum_age_seconds: float) -> dict[str, Any] | None:
        kept: Any = self.document.get(part)
        try:
            age = (datetime.now(UTC) - datetime.fromisoformat(kept["read_at"])).total_seconds()
        except (TypeError, KeyError, ValueError):
            return None
        return kept if 0 <= age <= maximum_age_seconds else None

    def _keep(self, part: str, values: dict[str, Any]) -> None:
        # Quotas and prices are read in threads of their own.
        with self._lock:
            self.document[part] = {"read_at": datetime.now(UTC).isoformat(timespec="seconds"), **values}
            self._changed = True
