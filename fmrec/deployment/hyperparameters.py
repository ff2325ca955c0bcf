"""The hyperparameters of SageMaker's factorization machines that a run may set.

Names, kinds, ranges and defaults are the algorithm's own (SageMaker developer guide,
*Factorization Machines Hyperparameters*). ``feature_dim`` is none of them: it comes from the manifest.
Wrong values are found here, when settings are read and when an execution starts, and not by the
training job after the encoding has been paid for.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fmrec.errors import SettingsError

PREDICTOR_TYPES = ("binary_classifier", "regressor")
INIT_METHODS = ("uniform", "normal", "constant")

Kind = Literal["integer", "number", "choice"]


@dataclass(frozen=True)
class Hyperparameter:
    """What one hyperparameter may be; ``default`` None means that the algorithm uses none."""

    kind: Kind
    default: int | float | str | None = None
    least: float = -math.inf
    most: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("at least", self.least), ("at most", self.most))
            if math.isfinite(limit)
        ]
        noun = "an integer" if self.kind == "integer" else "a number"
        return " ".join([noun, " and ".join(limits)]).strip()

    def holds(self, value: float | str) -> bool:
        if isinstance(value, str):
            return value in self.choices
        return math.isfinite(value) and self.least <= value <= self.most


def _rate(default: float) -> Hyperparameter:
    return Hyperparameter("number", default, least=0, most=512)


def _count(default: int | None, most: float = math.inf) -> Hyperparameter:
    return Hyperparameter("integer", default, least=1, most=most)


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "num_factors": Hyperparameter("integer", least=2, most=1000),
    "predictor_type": Hyperparameter("choice", choices=PREDICTOR_TYPES),
    "epochs": _count(1),
    "mini_batch_size": _count(1000),
    "bias_lr": _rate(0.1),
    "linear_lr": _rate(0.001),
    "factors_lr": _rate(0.0001),
    "bias_wd": _rate(0.01),
    "linear_wd": _rate(0.001),
    "factors_wd": _rate(0.00001),
    **{
        f"{group}_init_{name}": parameter
        for group, sigma in (("bias", 0.01), ("linear", 0.01), ("factors", 0.001))
        for name, parameter in (
            ("method", Hyperparameter("choice", "normal", choices=INIT_METHODS)),
            ("sigma", Hyperparameter("number", sigma, least=0)),
            ("scale", Hyperparameter("number", least=0)),
            ("value", Hyperparameter("number")),
        )
    },
    "clip_gradient": Hyperparameter("number", least=0),
    "eps": Hyperparameter("number", least=0),
    "rescale_grad": Hyperparameter("number", least=0),
}

REQUIRED = ("num_factors", "predictor_type")


def resolve(*layers: Mapping[str, Any], required: tuple[str, ...] = REQUIRED) -> dict[str, str]:
    """Merge layers, later ones winning, and return them as the strings that the API takes.

    Parameters
    ----------
    layers
        Hyperparameter name → value; a number may be given as text, null takes a value of an earlier
        layer away.
    required
        What must be among them.

    Raises
    ------
    SettingsError
        An unknown name, a value out of range, or a required one missing.
    """
    values: dict[str, str] = {}
    for layer in layers:
        if not isinstance(layer, Mapping):
            raise SettingsError(f"hyperparameters are {layer!r}: expected a JSON object of names and values")
        for name, value in layer.items():
            parameter = _known(name)
            if value is None:
                values.pop(name, None)
            else:
                values[name] = _as_string(name, parameter, value)
    for name in required:
        if name not in values:
            raise SettingsError(
                f"hyperparameters.{name} is missing: expected {HYPERPARAMETERS[name].expected}"
            )
    return values


def _known(name: str) -> Hyperparameter:
    parameter = HYPERPARAMETERS.get(name)
    if parameter is not None:
        return parameter
    if name == "feature_dim":
        raise SettingsError(
            "hyperparameters.feature_dim can't be set: it is the width of the encoded data and comes from "
            "the manifest; remove it"
        )
    close = difflib.get_close_matches(str(name), HYPERPARAMETERS, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(HYPERPARAMETERS)}"
    raise SettingsError(f"hyperparameters.{name} is unknown to factorization machines: {hint}")


def _as_string(name: str, parameter: Hyperparameter, value: Any) -> str:
    converted: int | float | str | None = None
    if parameter.kind == "choice":
        converted = value if isinstance(value, str) else None
    elif not isinstance(value, bool):
        try:
            number = float(value)
            if parameter.kind == "number":
                converted = number
            elif number.is_integer():
                converted = int(number)
        except (TypeError, ValueError, OverflowError):
            converted = None
    if converted is None or not parameter.holds(converted):
        raise SettingsError(f"hyperparameters.{name} is {value!r}: expected {parameter.expected}")
    return str(converted)
