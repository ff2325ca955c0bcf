"""What the values of one field look like: numbers, times, few texts or many, lists, missing ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from fmrec.inspection.times import TimeFormat, detect_time_format

Cell = str | list[str] | None
"""A field's value as text; a list where the format has lists; None where it is missing."""

MISSING_ALWAYS = ("\\N", "NULL", "null", "NA", "N/A", "n/a", "NaN", "nan", "#N/A", "<NA>")
MISSING_AMONG_NUMBERS = (*MISSING_ALWAYS, "None", "none", "NONE", "-", "?", ".")
"""Texts that mean "missing" where all else is a number or a time."""
NUMBER = re.compile(r"^\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*$")
COMMA_NUMBER = re.compile(r"^\s*[-+]?\d+,\d+\s*$")
INTEGER = re.compile(r"^[-+]?\d+$")
SEPARATORS = ("|", ";", ",", " ")
NEARLY_ALL = 0.95
TIMES_TRIED = 500
TOP = 30
"""Most common values that are kept."""


@dataclass(frozen=True)
class Profile:
    """A field's sampled values.

    ``filled`` values are neither empty nor a text in ``missing``, which has these texts with their counts.
    ``kind``: ``integer``, ``number``, ``time``, ``text``, ``list`` or ``empty``. ``separator`` is what stands
    between several texts in one field, ``words`` how many different ones there are.
    """

    name: str
    count: int
    filled: int
    distinct: int
    kind: str
    missing: dict[str, int] = field(default_factory=dict)
    top: tuple[tuple[str, int], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    numbers: tuple[float, ...] = ()
    """The different numbers, if there are up to 200."""
    comma: bool = False
    """Numbers have decimal commas."""
    time: TimeFormat | None = None
    separator: str | None = None
    words: int = 0
    mean_words: float = 1.0
    mean_length: float = 0.0
    leading_zeros: bool = False
    unreadable: tuple[str, ...] = ()
    """Examples of values that are not of the kind that nearly all are."""

    @property
    def missing_share(self) -> float:
        return 1 - self.filled / self.count if self.count else 0.0

    @property
    def distinct_share(self) -> float:
        return self.distinct / self.filled if self.filled else 0.0

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("integer", "number")

    @property
    def examples(self) -> list[str]:
        return [text for text, _ in self.top[:3]]


def profile_field(name: str, cells: Sequence[Cell]) -> Profile:
    """Describe a field by its sampled cells."""
    if any(isinstance(cell, list) for cell in cells):
        return _profile_lists(name, cells)
    counts = Counter(cell.strip() for cell in cells if isinstance(cell, str))
    counts.pop("", None)
    if not counts:
        return Profile(name, len(cells), 0, 0, "empty")
    rest = {text: count for text, count in counts.items() if text not in MISSING_AMONG_NUMBERS}
    kind, comma, time, unreadable = _kind(rest) if rest else ("empty", False, None, ())
    absent = MISSING_ALWAYS if kind == "text" else MISSING_AMONG_NUMBERS
    missing = {text: counts[text] for text in absent if text in counts}
    for text in missing:
        del counts[text]
    if not counts:
        return Profile(name, len(cells), 0, 0, "empty", missing)
    filled = sum(counts.values())
    numbers = _numbers(counts, comma) if kind in ("integer", "number") else []
    separator, words, mean_words = _separator(counts) if kind == "text" else (None, 0, 1.0)
    return Profile(
        name=name,
        count=len(cells),
        filled=filled,
        distinct=len(counts),
        kind=kind,
        missing=missing,
        top=tuple(counts.most_common(TOP)),
        minimum=min(numbers, default=None),
        maximum=max(numbers, default=None),
        numbers=tuple(sorted(set(numbers))) if len(set(numbers)) <= 200 else (),
        comma=comma,
        time=time,
        separator=separator,
        words=words,
        mean_words=mean_words,
        mean_length=sum(len(text) * count for text, count in counts.items()) / filled,
        leading_zeros=any(len(text) > 1 and text.isdecimal() and text[0] == "0" for text in counts),
        unreadable=unreadable,
    )


def _kind(counts: dict[str, int]) -> tuple[str, bool, TimeFormat | None, tuple[str, ...]]:
    """Return the kind of nearly all values, counted as often as they occur."""
    texts = list(counts)
    enough = NEARLY_ALL * sum(counts.values())
    numbers = {text: count for text, count in counts.items() if NUMBER.match(text)}
    time = detect_time_format(texts[:TIMES_TRIED])
    if sum(numbers.values()) >= enough:
        kind = "integer" if all(INTEGER.match(text) for text in numbers) else "number"
        return kind, False, time, _others(texts, NUMBER)
    if time:
        return "time", False, time, ()
    commas = {
        text: count for text, count in counts.items() if COMMA_NUMBER.match(text) or INTEGER.match(text)
    }
    if sum(commas.values()) >= enough and any("," in text for text in commas):
        return "number", True, None, ()
    return "text", False, None, ()


def _others(texts: Sequence[str], shape: re.Pattern[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if not shape.match(text))[:3]


def _numbers(counts: Counter[str], comma: bool) -> list[float]:
    texts = [text.replace(",", ".") if comma else text for text in counts]
    return [float(text) for text in texts if NUMBER.match(text)]


def _separator(counts: Counter[str]) -> tuple[str | None, int, float]:
    """Find what separates words of a vocabulary: they come again and again, unlike the words of a title."""
    texts = list(counts)[:5000]
    for separator in SEPARATORS:
        lists = [text.split(separator) for text in texts]
        several = sum(len(words) > 1 for words in lists)
        if several < max(2, 0.2 * len(texts)):
            continue
        cleaned = [[word.strip() for word in words if word.strip()] for words in lists]
        vocabulary = {word for words in cleaned for word in words}
        total = sum(len(words) for words in cleaned)
        repeats = separator == "|" or len(vocabulary) <= 0.5 * total
        short = sum(len(word) for word in vocabulary) <= 30 * len(vocabulary)
        if repeats and short and not _is_prose(cleaned, separator):
            return separator, len(vocabulary), total / len(texts)
    return None, 0, 1.0


def _is_prose(lists: Sequence[Sequence[str]], separator: str) -> bool:
    """Blanks separate words of sentences too: those are taken for a list only if they all look like ids."""
    if separator != " ":
        return False
    words = [word for words in lists for word in words]
    coded = sum(any(letter.isdigit() for letter in word) for word in words)
    return coded < 0.9 * len(words)


def _profile_lists(name: str, cells: Sequence[Cell]) -> Profile:
    lists = [cell if isinstance(cell, list) else [cell] for cell in cells if cell]
    words = Counter(word for words in lists for word in words)
    filled = sum(bool(words) for words in lists)
    return Profile(
        name=name,
        count=len(cells),
        filled=filled,
        distinct=len({tuple(words) for words in lists if words}),
        kind="list" if words else "empty",
        top=tuple(words.most_common(12)),
        separator="|",
        words=len(words),
        mean_words=sum(words.values()) / filled if filled else 0.0,
    )
