"""Reading one JSON object of a document, with errors that say where, what is there and what is allowed."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeGuard

from fmrec.errors import InputError, SettingsError

_REQUIRED: Any = object()
LARGEST = sys.float_info.max
"""No integer beyond it is a float; neither are infinity and NaN below it."""


class Section:
    """One JSON object: each key is taken once, and ``finish`` refuses what nobody took.

    Parameters
    ----------
    document : Any
        What should be a JSON object.
    place : str
        Where it stands in the whole document, e.g. ``interactions.columns``.
    kind
        What is raised: `FormatError` for documents that programs write.
    """

    def __init__(self, document: Any, place: str, kind: type[InputError] = SettingsError) -> None:
        self._kind = kind
        if not isinstance(document, dict):
            raise kind(f"{place or 'the data set document'} is {shown(document)}: expected a JSON object")
        self._values: dict[str, Any] = dict(document)
        self._place = place
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def where(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def error(self, key: str, expected: str) -> InputError:
        return self._kind(f"{self.where(key)} is {shown(self._values.get(key))}: expected {expected}")

    def take(self, key: str, default: Any = _REQUIRED, expected: str = "a value") -> Any:
        """Return a key's value; null counts as missing."""
        self._known.append(key)
        value = self._values.get(key)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise self._kind(f"{self.where(key)} is missing: expected {expected}")
        return default

    def section(self, key: str) -> Section:
        return Section(self.take(key, {}), self.where(key), self._kind)

    def sections(self, key: str) -> list[Section]:
        """Return a list of JSON objects."""
        found = self.take(key, expected="a list")
        if not isinstance(found, list):
            raise self.error(key, "a list")
        return [Section(each, f"{self.where(key)}[{at}]", self._kind) for at, each in enumerate(found)]

    def text(self, key: str, default: Any = _REQUIRED) -> Any:
        value = self.take(key, default, "a text")
        if value is not None and (not isinstance(value, str) or not value):
            raise self.error(key, "a text that is not empty")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: Any = _REQUIRED) -> str:
        value = self.take(key, default, f"one of {', '.join(allowed)}")
        if value not in allowed:
            raise self.error(key, f"one of {', '.join(allowed)}")
        return str(value)

    def number(
        self,
        key: str,
        default: Any = _REQUIRED,
        *,
        least: float = -math.inf,
        most: float = math.inf,
        above: float = -math.inf,
        below: float = math.inf,
    ) -> Any:
        """Return a finite number in ``[least, most]`` and inside ``(above, below)``."""
        value = self.take(key, default, "a number")
        if value is None:
            return None
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("at least", least), ("at most", most), ("above", above), ("below", below))
            if math.isfinite(limit)
        ]
        if not is_number(value) or not (least <= value <= most and above < value < below):
            raise self.error(key, " ".join(["a number", " and ".join(limits)]).strip())
        return float(value)

    def integer(self, key: str, default: Any = _REQUIRED, *, least: int, most: int = 2**62) -> Any:
        value = self.take(key, default, "an integer")
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            limits = f"at least {least}" + (f" and at most {most}" if most < 2**62 else "")
            raise self.error(key, f"an integer {limits}")
        return value

    def finish(self) -> None:
        """Refuse keys that nobody took, guessing what was meant."""
        for key in self._values:
            if key not in self._known:
                guess = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {guess[0]}?" if guess else f"expected {', '.join(sorted(self._known))}"
                raise self._kind(f"{self.where(key)} is not a known setting here: {hint}")


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value of a JSON document is a number that a float64 can hold; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def shown(value: Any) -> str:
    """A value in an error, as long as a person reads."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
