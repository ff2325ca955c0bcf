"""Times as they stand in files, in seconds since 1970."""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset.timestamps import UNITS, UTC, ZONE_LETTERS, letters
from fmrec.encoding.ingest.number_text import to_double

_DATED = r"^[+-]?\d{4,6}(?:-.*)?$"
"""ISO 8601 times that begin with a year: Spark takes a time of day for one of today."""
_NO_ZONE = r"^[^:]*(?::\d+)?(?::\d+(?:\.\d*)?)?$"
_NO_SECONDS = r"^(\S+[T ]\d+:\d+)(?=[-+Z])"
_WEEKDAY = r"(?i)\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?"
_RFC2822 = "d MMM yyyy H:mm[:ss] xx"
_RFC2822_ZONES = {
    "GMT": "+0000", "UTC": "+0000", "UT": "+0000", "Z": "+0000", "EST": "-0500", "EDT": "-0400",
    "CST": "-0600", "CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}  # fmt: skip


def seconds_of(text: Column, timestamp_format: str, decimal: str = ".", timezone: str = UTC) -> Column:
    """Read a time as the data set document says it is written: a double, null if it isn't one.

    Parameters
    ----------
    timestamp_format, decimal, timezone : str
        Settings of the document.
    """
    if timestamp_format in UNITS:
        return to_double(text, decimal) / UNITS[timestamp_format]
    text = F.trim(text)
    if timestamp_format == "iso8601":
        moment = F.when(
            F.rlike(text, F.lit(_DATED)), F.try_to_timestamp(F.regexp_replace(text, _NO_SECONDS, "$1:00"))
        )
        local = F.rlike(text, F.lit(_NO_ZONE))
    elif timestamp_format == "rfc2822":
        moment, local = _rfc2822(text), F.lit(False)
    else:
        moment = _by_pattern(text, timestamp_format)
        local = F.lit(not letters(timestamp_format) & set(ZONE_LETTERS))
    if timezone != UTC:
        moment = F.when(local, F.to_utc_timestamp(moment, timezone)).otherwise(moment)
    return moment.cast("double")


def _by_pattern(text: Column, pattern: str) -> Column:
    quoted = re.split(r"('[^']*')", pattern)
    if any("E" in part for part in quoted[::2]):  # Spark writes the day's name, but can't read it
        pattern = "".join(re.sub("E+", "", part) if at % 2 == 0 else part for at, part in enumerate(quoted))
        text = F.regexp_replace(text, _WEEKDAY, "")
    return F.try_to_timestamp(text, F.lit(pattern))


def _rfc2822(text: Column) -> Column:
    bare = F.regexp_replace(F.regexp_replace(text, r"\([^()]*\)", " "), r"^\s*[A-Za-z]+\s*,", "")
    words = F.trim(F.regexp_replace(bare, r"\s+", " "))
    zones = F.create_map(*[F.lit(word) for pair in _RFC2822_ZONES.items() for word in pair])
    zone = zones[F.upper(F.substring_index(words, " ", -1))]
    named = F.concat(F.regexp_replace(words, r"[A-Za-z]+$", ""), zone)
    return F.try_to_timestamp(F.coalesce(named, words), F.lit(_RFC2822))
