"""Drawing hyperparameters from a tuning job's ranges.

Follows the API texts of ``ParameterRanges`` and of the scaling types, and the developer guide's
automatic-model-tuning-define-ranges.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

from localcloud.faults import ServiceFault

_LOGARITHMIC_FROM_RATIO = 100.0
"""``Auto`` scaling is left to SageMaker: here it is logarithmic for ranges at least this wide."""


def check_ranges(ranges: dict[str, Any], static: dict[str, str], strategy: str) -> None:
    """Refuse ranges that no value can be drawn from.

    Raises
    ------
    ServiceFault
        ``ValidationException`` naming the parameter.
    """
    names = [entry["Name"] for kind in _KINDS for entry in ranges.get(kind, [])]
    if not names:
        raise _refused("HyperParameterRanges must have at least one parameter.")
    for name in names:
        if names.count(name) > 1:
            raise _refused(f"The hyperparameter {name} has several ranges.")
        if name in static:
            raise _refused(f"The hyperparameter {name} is in both the ranges and StaticHyperParameters.")
    if ranges.get("AutoParameters"):
        raise _refused("The local cloud can't choose ranges itself: AutoParameters is not supported.")
    if strategy == "Grid" and len(ranges.get("CategoricalParameterRanges", [])) != len(names):
        raise _refused("Strategy Grid supports categorical parameters only.")
    for kind, convert in (("IntegerParameterRanges", int), ("ContinuousParameterRanges", float)):
        for entry in ranges.get(kind, []):
            _check_numbers(entry, convert)


def draw(ranges: dict[str, Any], generator: random.Random) -> dict[str, str]:
    """One set of values, as strings, each drawn evenly on its scale."""
    drawn: dict[str, str] = {}
    for entry in ranges.get("IntegerParameterRanges", []):
        low, high = int(entry["MinValue"]), int(entry["MaxValue"])
        value = _draw_number(low - 0.5 if low > 0 else low, high + 0.5, entry, generator)
        drawn[entry["Name"]] = str(min(max(round(value), low), high))
    for entry in ranges.get("ContinuousParameterRanges", []):
        least, most = float(entry["MinValue"]), float(entry["MaxValue"])
        drawn[entry["Name"]] = repr(min(max(_draw_number(least, most, entry, generator), least), most))
    for entry in ranges.get("CategoricalParameterRanges", []):
        drawn[entry["Name"]] = generator.choice(entry["Values"])
    return drawn


def grid(ranges: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Every combination of the categorical values."""
    entries = ranges["CategoricalParameterRanges"]
    for values in itertools.product(*(entry["Values"] for entry in entries)):
        yield dict(zip((entry["Name"] for entry in entries), values, strict=True))


_KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")


def _draw_number(low: float, high: float, entry: dict[str, str], generator: random.Random) -> float:
    scaling = entry.get("ScalingType", "Auto")
    if scaling == "Auto":
        wide = low > 0 and high / low >= _LOGARITHMIC_FROM_RATIO
        scaling = "Logarithmic" if wide else "Linear"
    if scaling == "Logarithmic":
        return math.exp(generator.uniform(math.log(low), math.log(high)))
    if scaling == "ReverseLogarithmic":
        return 1.0 - math.exp(generator.uniform(math.log1p(-high), math.log1p(-low)))
    return generator.uniform(low, high)


def _check_numbers(entry: dict[str, str], convert: type[int] | type[float]) -> None:
    name = entry["Name"]
    try:
        low, high = convert(entry["MinValue"]), convert(entry["MaxValue"])
    except ValueError:
        kind = "integers" if convert is int else "numbers"
        raise _refused(
            f"The range of {name} must be {kind}, found {entry['MinValue']!r} to {entry['MaxValue']!r}."
        ) from None
    if not low <= high:
        raise _refused(f"The range of {name} is empty: {low} to {high}.")
    scaling = entry.get("ScalingType", "Auto")
    if scaling == "Logarithmic" and low <= 0:
        raise _refused(f"The range of {name} must be above 0 for logarithmic scaling, found {low}.")
    if scaling == "ReverseLogarithmic" and not 0 <= low <= high < 1:
        raise _refused(f"The range of {name} must lie in [0, 1) for reverse logarithmic scaling.")


def _refused(message: str) -> ServiceFault:
    return ServiceFault("ValidationException", message)
