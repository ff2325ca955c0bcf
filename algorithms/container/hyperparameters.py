"""Hyperparameters as SageMaker's images take them: strings, validated against a schema.

The images merge what the training job gives into their own ``default-conf.json`` and validate the
result as JSON schema, patterns over strings; their messages are kept, with what to do appended.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from algorithms.container import log
from algorithms.container.environment import MOUNT
from fmrec.errors import SettingsError

_INTEGER = r"^([1-9][0-9]*)$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_FLAG = {"true": True, "false": False}

Value = int | float | str | bool | None
Parser = Callable[[str, str], Value]


@dataclass(frozen=True)
class Hyperparameter:
    """One name that an algorithm knows. ``default`` is a string, as in default-conf.json."""

    name: str
    parse: Parser
    default: str | None = None
    required: bool = False


def _mismatch(name: str, text: str, pattern: str, expected: str) -> SettingsError:
    return SettingsError(
        f"'{text}' does not match '{pattern}' (caused by ValidationError): hyperparameter {name} is "
        f"'{text}', expected {expected}"
    )


def positive_integer(name: str, text: str) -> int:
    """An integer greater than 0."""
    if not re.match(_INTEGER, text):
        raise _mismatch(name, text, _INTEGER, "an integer greater than 0")
    return int(text)


def positive_integer_or_auto(name: str, text: str) -> int | None:
    """An integer greater than 0, or ``auto``, which is None."""
    if text == "auto":
        return None
    if not re.match(_INTEGER, text):
        raise _mismatch(name, text, f"^(auto|{_INTEGER[1:-1]})$", "an integer greater than 0, or auto")
    return int(text)


def number(name: str, text: str) -> float:
    """Any finite number."""
    if not re.match(_NUMBER, text) or not math.isfinite(float(text)):
        raise _mismatch(name, text, _NUMBER, "a number")
    return float(text)


def non_negative(name: str, text: str) -> float:
    """A number that is at least 0."""
    value = number(name, text)
    if value < 0:
        raise SettingsError(
            f"{text} is less than the minimum of 0 (caused by ValidationError): hyperparameter {name} "
            f"is {text}, expected a number that is at least 0"
        )
    return value


def positive(name: str, text: str) -> float:
    """A number greater than 0."""
    value = number(name, text)
    if value <= 0:
        raise SettingsError(
            f"{text} is less than or equal to the minimum of 0 (caused by ValidationError): "
            f"hyperparameter {name} is {text}, expected a number greater than 0"
        )
    return value


def choice(*options: str) -> Parser:
    """One of some words."""

    def parse(name: str, text: str) -> str:
        if text not in options:
            raise SettingsError(
                f"'{text}' is not one of {list(options)!r} (caused by ValidationError): hyperparameter "
                f"{name} is '{text}', expected {' or '.join(options)}"
            )
        return text

    return parse


def flag(name: str, text: str) -> bool:
    """``true`` or ``false``."""
    if text.lower() not in _FLAG:
        raise _mismatch(name, text, "^(true|false)$", "true or false")
    return _FLAG[text.lower()]


def text_value(name: str, text: str) -> str:
    """Anything."""
    return text


def resolve(schema: Sequence[Hyperparameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Validate a training job's hyperparameters and fill in the defaults.

    Parameters
    ----------
    schema
        What the algorithm knows.
    given
        Names to strings (or numbers, which the images take as well).

    Returns
    -------
    dict
        Every name of the schema to its parsed value; None where neither given nor defaulted.

    Raises
    ------
    SettingsError
        An unknown name, a missing one that is required, or a value out of range; in the images' words.
    """
    known = {parameter.name: parameter for parameter in schema}
    unknown = sorted(set(given) - set(known))
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        verb = "was" if len(unknown) == 1 else "were"
        raise SettingsError(
            f"Additional hyperparameters are not allowed ({names} {verb} unexpected) (caused by "
            f"ValidationError): remove {'it' if len(unknown) == 1 else 'them'}; known are "
            + ", ".join(name for name in known if not name.startswith("_"))
        )
    missing = [name for name, parameter in known.items() if parameter.required and name not in given]
    if missing:
        raise SettingsError(
            f"'{missing[0]}' is a required property (caused by ValidationError): give the training job "
            f"the hyperparameter{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        )
    merged = {name: given.get(name, parameter.default) for name, parameter in known.items()}
    return {
        name: None if value is None else known[name].parse(name, _as_text(value))
        for name, value in merged.items()
    }


def announce(schema: Sequence[Hyperparameter], given: Mapping[str, Any]) -> None:
    """Write the three lines about configuration that open every training log."""
    defaults = {parameter.name: parameter.default for parameter in schema if parameter.default is not None}
    log.info(
        "Reading default configuration from "
        "/opt/amazon/lib/python3.7/site-packages/algorithm/resources/default-conf.json: "
        + json.dumps(defaults)
    )
    log.info(
        f"Merging with provided configuration from {MOUNT}/input/config/hyperparameters.json: "
        + json.dumps(dict(given))
    )
    log.info("Final configuration: " + json.dumps({**defaults, **given}))


def _as_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)
