"""How times are written: ``timestamp_format`` and ``timezone`` of a source or a date-part feature."""

from __future__ import annotations

import re
import zoneinfo
from functools import cache

from fmrec.dataset.section import Section

UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}
"""Numbers since 1970: how many of the unit make a second."""
NAMED_FORMATS = (*UNITS, "iso8601", "rfc2822")
PATTERN_LETTERS = "GyMLdDEaHhKkmsSzZxXVO"
"""Letters of Spark's and Java's patterns that can be read (E, the day's name, is skipped)."""
ZONE_LETTERS = "zZxXVO"
UTC = "UTC"
_EXPECTED = (
    f"one of {', '.join(NAMED_FORMATS)}, or a pattern of date and time letters with year, month and day, "
    "e.g. dd-MMM-yyyy or M/d/yyyy H:mm (no other letters, unless in single quotes)"
)
_OFFSET = re.compile(r"[+-](0\d|1[0-8]):[0-5]\d")


def is_pattern(timestamp_format: str) -> bool:
    """Say whether a format is a pattern of letters, not one of the names."""
    return timestamp_format not in NAMED_FORMATS


def letters(pattern: str) -> set[str]:
    """Return the letters of a pattern, without those in single quotes."""
    return {letter for letter in re.sub(r"'[^']*'", "", pattern) if letter.isascii() and letter.isalpha()}


def take_timestamp_format(section: Section, default: str) -> str:
    """Return the setting ``timestamp_format``.

    Raises
    ------
    SettingsError
        It is neither a name nor a pattern from which a moment can be read.
    """
    found = str(section.text("timestamp_format", default))
    if not is_pattern(found):
        return found
    used = letters(found)
    dated = "y" in used and ("D" in used or ("d" in used and used & set("ML")))
    if found.count("'") % 2 or not used <= set(PATTERN_LETTERS) or not dated or re.search(r"[{}#]", found):
        raise section.error("timestamp_format", _EXPECTED)
    return found


def take_timezone(section: Section) -> str:
    """Return the setting ``timezone``: that of times whose text names none.

    Raises
    ------
    SettingsError
        There is no such time zone.
    """
    found = str(section.text("timezone", UTC))
    if found == UTC or _OFFSET.fullmatch(found):
        return found
    known = _zones()  # empty where the machine has no time zone database
    if known and found not in known:
        raise section.error("timezone", "a name of the time zone database, e.g. Europe/Berlin, or +02:00")
    return found


@cache
def _zones() -> frozenset[str]:
    """Return the names of all time zones; looking for them reads hundreds of files."""
    return frozenset(zoneinfo.available_timezones())
