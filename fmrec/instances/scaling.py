"""How many instances an endpoint may scale to: what settings say, within what the account has room for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.dataset.section import shown
from fmrec.errors import SettingsError

SMALLEST, LARGEST = 1, 1000


@dataclass(frozen=True)
class Scaling:
    """Between how many instances the calls decide."""

    minimum: int = 1
    maximum: int = 4

    @classmethod
    def of(cls, serving: Mapping[str, Any]) -> Scaling | None:
        """Read ``scaling`` of a serving section; None where the number of instances is fixed.

        Raises
        ------
        SettingsError
            It is no JSON object, or the numbers are no integers in order.
        """
        given = serving.get("scaling")
        if given is None:
            return None
        if not isinstance(given, Mapping):
            raise SettingsError(f"serving.scaling is {shown(given)}: expected a JSON object of settings")
        defaults = {"minimum_instances": cls.minimum, "maximum_instances": cls.maximum}
        limits = {key: given.get(key, default) for key, default in defaults.items()}
        for key, value in limits.items():
            if type(value) is not int:
                raise SettingsError(f"serving.scaling.{key} is {shown(value)}: expected an integer")
        found = cls(*limits.values())
        if not SMALLEST <= found.minimum <= found.maximum <= LARGEST:
            raise SettingsError(
                f"serving.scaling has {found.minimum} to {found.maximum} instances: expected {SMALLEST} or more "
                f"for minimum_instances, and no fewer for maximum_instances, up to {LARGEST}"
            )
        return found

    def starting_at(self, wanted: int, running: int | None) -> int:
        """How many instances an update starts: those that run now, within the limits."""
        return min(max(self.minimum, wanted if running is None else running), self.maximum)


@dataclass(frozen=True)
class Bound:
    """What allows no more instances than that."""

    instances: float
    why: str


def lowest(scaling: Scaling, bounds: Iterable[Bound]) -> tuple[int, str]:
    """The maximum that is left of the settings' one, and the sentence that says why it is less."""
    strictest = min(bounds, key=lambda bound: bound.instances, default=None)
    if strictest is None or strictest.instances >= scaling.maximum:
        return scaling.maximum, ""
    left = max(0, math.floor(strictest.instances))
    return left, f"scales to {left} instances instead of {scaling.maximum}: {strictest.why}"
