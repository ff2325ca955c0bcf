"""Which format times are written in: a name or a pattern of the data set document's ``timestamp_format``.

Patterns use Java's letters, as Spark reads them: ``yyyy-MM-dd HH:mm:ss``, ``d/M/yyyy``, ``dd-MMM-yyyy``.
A text is first matched with shapes of dates and times of day; what the values show (a day above 12, hours
without a zero before them, months in letters) then decides the pattern's letters.
"""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

NUMBERS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
EARLIEST, LATEST = 631_152_000.0, 2_240_524_800.0
"""What numbers are taken for times: from 1990 to 2040, in seconds since 1970."""
ENOUGH = 0.95
"""The share of the texts that a format has to read."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FULL_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_MONTH = r"(?P<mon>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*)"
_WEEKDAY = r"(?P<weekday>Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = r"(?P<h>\d{1,2}):(?P<mi>\d{2})(?::(?P<s>\d{2})(?:[.](?P<frac>\d{1,9}))?)?(?P<ampm_gap> ?)(?P<ampm>[AaPp][Mm])?"
_ZONE = r"(?P<zone_gap> ?)(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
_TAIL = rf"(?:(?P<sep>T| |, |  )(?:{_CLOCK}){_ZONE})?"
_SHAPES = tuple(
    re.compile(rf"^{shape}$", re.IGNORECASE)
    for shape in (
        rf"(?P<y>\d{{4}})(?P<d1>[-/.])(?P<a>\d{{1,2}})(?P=d1)(?P<b>\d{{1,2}}){_TAIL}",
        rf"(?P<a>\d{{1,2}})(?P<d1>[-/.])(?P<b>\d{{1,2}})(?P=d1)(?P<y>\d{{4}}){_TAIL}",
        rf"(?P<a>\d{{1,2}})(?P<d1>[-/.])(?P<b>\d{{1,2}})(?P=d1)(?P<yy>\d{{2}}){_TAIL}",
        rf"(?P<b>\d{{1,2}})(?P<d1>[-/. ]){_MONTH}(?P=d1)(?P<y>\d{{4}}){_TAIL}",
        rf"(?P<b>\d{{1,2}})(?P<d1>[-/. ]){_MONTH}(?P=d1)(?P<yy>\d{{2}}){_TAIL}",
        rf"{_MONTH} (?P<b>\d{{1,2}})(?P<d2>,? )(?P<y>\d{{4}}){_TAIL}",
        rf"(?P<a>\d{{1,2}}) (?P<b>\d{{1,2}})(?P<d2>, )(?P<y>\d{{4}}){_TAIL}",
        rf"{_WEEKDAY} {_MONTH} (?P<b>\d{{1,2}}) (?:{_CLOCK}) (?P<zone>[+-]\d{{4}}|UTC|GMT) (?P<y>\d{{4}})",
        r"(?P<y>(?:19|20)\d{2})(?P<a>[01]\d)(?P<b>[0-3]\d)(?:(?P<ch>[012]\d)(?P<cmi>[0-5]\d)(?P<cs>[0-5]\d))?",
    )
)
_RFC2822 = re.compile(
    rf"^(?:{_WEEKDAY}, )?\d{{1,2}} {_MONTH} \d{{4}} \d{{2}}:\d{{2}}(?::\d{{2}})? (?:[+-]\d{{4}}|GMT|UTC|UT|Z)$",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(\.\d{1,9})?)?( ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?)?$"
)
_NUMBER = re.compile(r"^\d+(?:\.\d+)?(?:[eE][+]?\d+)?$")
_LETTERS = re.compile(r"'[^']*'|([A-Za-z])\1*|[^A-Za-z']+")


@dataclass(frozen=True)
class TimeFormat:
    """``name``: for ``timestamp_format``. ``alternative``: reads all the values too, as other days."""

    name: str
    reason: str
    alternative: str | None = None
    clock: bool = True
    """Whether it is finer than a day."""


def detect_time_format(texts: Iterable[str], *, numbers: bool = True) -> TimeFormat | None:
    """Return the format that reads nearly all of the texts, or None if they aren't times.

    Parameters
    ----------
    texts : iterable of str
        Without missing values.
    numbers : bool
        Whether plain numbers may be times: they are judged by their size only.
    """
    values = list(dict.fromkeys(text.strip() for text in texts))
    if not values:
        return None
    if sum(_NUMBER.match(value) is not None for value in values) >= ENOUGH * len(values):
        return _numeric(values) if numbers else None
    if _share(values, lambda text: _ISO.match(text) is not None) and _reads(values, "iso8601"):
        clock = any(len(value) > 10 for value in values)
        zone = any(_ISO.match(value) and _ISO.match(value)[8] for value in values)  # type: ignore[index]
        said = "a date and a time of day" if clock else "a date"
        if clock:
            said += " with a time zone" if zone else " without a time zone, taken as UTC"
        return TimeFormat("iso8601", f"{said} (ISO 8601)", clock=clock)
    if _share(values, lambda text: _RFC2822.match(text) is not None) and _reads(values, "rfc2822"):
        return TimeFormat("rfc2822", "a date and a time of day as in e-mail (RFC 2822)")
    return _patterned(values)


def seconds_reader(name: str) -> Callable[[str], float | None]:
    """Return a function that reads a text in a time format: seconds since 1970, None if it isn't a time.

    Times without a zone are taken as UTC.
    """
    if name in NUMBERS:
        per_second = NUMBERS[name]

        def read_number(text: str) -> float | None:
            try:
                return float(text) / per_second
            except ValueError:
                return None

        return read_number
    if name == "iso8601":
        return _read_iso
    if name == "rfc2822":
        return _read_rfc2822
    return _pattern_reader(name)


def _numeric(values: Sequence[str]) -> TimeFormat | None:
    if _share(values, lambda text: len(text) in (8, 14) and _SHAPES[-1].match(text) is not None):
        clock = len(values[0]) == 14
        name = "yyyyMMddHHmmss" if clock else "yyyyMMdd"
        if _reads(values, name):
            return TimeFormat(name, "digits of a date" + (" and a time of day" if clock else ""), None, clock)
    for name, per_second in NUMBERS.items():
        if _share(values, lambda text, scale=per_second: EARLIEST <= float(text) / scale < LATEST):  # type: ignore[misc]
            spread = sorted(float(value) / per_second for value in values if _NUMBER.match(value))
            inside = [second for second in spread if EARLIEST <= second < LATEST]
            first, last = (
                datetime.datetime.fromtimestamp(moment, datetime.UTC).date()
                for moment in (inside[0], inside[-1])
            )
            said = f", here from {first} to {last}"
            return TimeFormat(name, f"numbers of the size of {name} since 1970{said}")
    return None


def _patterned(values: Sequence[str]) -> TimeFormat | None:
    for shape in _SHAPES[:-1]:
        found = [match for match in map(shape.match, values) if match]
        if len(found) >= ENOUGH * len(values):
            return _pattern_of(found, values)
    return None


def _pattern_of(found: Sequence[re.Match[str]], values: Sequence[str]) -> TimeFormat | None:
    groups = found[0].re.groupindex

    def texts(name: str) -> list[str]:
        return [match[name] for match in found if match[name] is not None] if name in groups else []

    clock = _clock_letters(texts)
    if clock is None:
        return None
    year = "yyyy" if texts("y") else "yy"
    mark, gap = (texts("d1") or [""])[0], (texts("d2") or [""])[0]
    if texts("mon"):
        months = texts("mon")
        month = "MMM" if all(len(text) == 3 for text in months) else "MMMM"
        day = _padded("d", texts("b"))
        if texts("weekday"):
            zone = "Z" if texts("zone")[0][0] in "+-" else "z"
            name = f"EEE {month} {day} {clock} {zone} {year}"
        elif gap:
            name = f"{month} {day}{_quoted(gap)}{year}{clock}"
        else:
            name = f"{day}{mark}{month}{mark}{year}{clock}"
        return _checked(name, None, bool(clock), values)
    first, second = texts("a"), texts("b")
    month_first = f"{_padded('M', first)}{mark or ' '}{_padded('d', second)}"
    day_first = f"{_padded('d', first)}{mark or ' '}{_padded('M', second)}"
    if groups.get("y", 99) < groups["a"]:
        candidates = [f"{year}{mark}{order}{clock}" for order in (month_first, day_first)][:1]
    else:
        end = f"{gap or mark}{year}{clock}"
        candidates = [
            f"{order}{end}"
            for order, months in ((month_first, first), (day_first, second))
            if sum(int(text) <= 12 for text in months) >= ENOUGH * len(months)
        ]
    readable = [name for name in candidates if _reads(values, name)]
    if gap:  # 09 13, 2009: nobody puts the day first there.
        readable = readable[:1]
    if not readable:
        return None
    return _checked(readable[0], readable[1] if len(readable) > 1 else None, bool(clock), values)


def _clock_letters(texts: Callable[[str], list[str]]) -> str | None:
    """Return the pattern of the time of day, with what stands before it; None if the texts disagree."""
    hours = texts("h")
    if not hours:
        return ""
    separators, zones, fractions = set(texts("sep")), texts("zone"), {len(text) for text in texts("frac")}
    if len(separators) > 1 or len(fractions) > 1:
        return None
    letters = _padded("h" if texts("ampm") else "H", hours) + ":mm"
    if texts("s"):
        letters += ":ss"
    if fractions:
        letters += "." + "S" * fractions.pop()
    if texts("ampm"):
        letters += f"{texts('ampm_gap')[0]}a"
    if zones and separators:
        gap = texts("zone_gap")[0]
        first = zones[0]
        letters += gap + ("z" if first in ("UTC", "GMT") else "XXX" if first == "Z" or ":" in first else "Z")
    separator = separators.pop() if separators else ""
    return _quoted(separator) + letters


def _quoted(separator: str) -> str:
    return "'T'" if separator == "T" else separator


def _padded(letter: str, texts: Sequence[str]) -> str:
    """Two letters ask for two digits: only where a zero stands before, and never one digit alone."""
    if any(len(text) == 1 for text in texts):
        return letter
    return letter * 2 if any(text.startswith("0") for text in texts) else letter


def _checked(name: str, other: str | None, clock: bool, values: Sequence[str]) -> TimeFormat | None:
    if not _reads(values, name):
        return None
    said = "a date and a time of day" if clock else "a date"
    if clock and not name.endswith(("Z", "XXX", "z")) and " Z " not in name and " z " not in name:
        said += " without a time zone, taken as UTC"
    shown = f"{said}, such as {values[0]!r}"
    if other:
        shown += "; the values don't decide which of the first two numbers is the month"
    return TimeFormat(name, shown, other, clock)


def _share(values: Sequence[str], fits: Callable[[str], bool]) -> bool:
    return sum(_fits(fits, value) for value in values) >= ENOUGH * len(values)


def _fits(fits: Callable[[str], bool], value: str) -> bool:
    try:
        return fits(value)
    except ValueError:
        return False


def _reads(values: Sequence[str], name: str) -> bool:
    read = seconds_reader(name)
    return sum(read(value) is not None for value in values) >= ENOUGH * len(values)


def _read_iso(text: str) -> float | None:
    found = _ISO.match(text.strip())
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    return _instant(year, month, day, hour, minute, second, float(found[7] or 0), (found[8] or "").strip())


def _read_rfc2822(text: str) -> float | None:
    if not _RFC2822.match(text.strip()):
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


_LETTER_PATTERNS = {
    "yyyy": r"(?P<y>\d{4})", "y": r"(?P<y>\d{4})", "yy": r"(?P<yy>\d{2})",
    "M": r"(?P<mo>\d{1,2})", "MM": r"(?P<mo>\d{2})", "MMM": r"(?P<mon>[A-Za-z]{3})", "MMMM": r"(?P<mon>[A-Za-z]+)",
    "d": r"(?P<d>\d{1,2})", "dd": r"(?P<d>\d{2})",
    "H": r"(?P<h>\d{1,2})", "HH": r"(?P<h>\d{2})", "h": r"(?P<h12>\d{1,2})", "hh": r"(?P<h12>\d{2})",
    "m": r"(?P<mi>\d{1,2})", "mm": r"(?P<mi>\d{2})", "s": r"(?P<s>\d{1,2})", "ss": r"(?P<s>\d{2})",
    "a": r"(?P<ampm>[AaPp][Mm])", "E": "[A-Za-z]{3}", "EE": "[A-Za-z]{3}", "EEE": "[A-Za-z]{3}",
    "EEEE": "[A-Za-z]+", "Z": r"(?P<zone>[+-]\d{4})", "z": "(?P<zone>UTC|GMT)",
    "X": r"(?P<zone>Z|[+-]\d{2})", "XX": r"(?P<zone>Z|[+-]\d{4})", "XXX": r"(?P<zone>Z|[+-]\d{2}:\d{2})",
}  # fmt: skip


def _pattern_reader(pattern: str) -> Callable[[str], float | None]:
    parts = []
    for found in _LETTERS.finditer(pattern):
        piece = found[0]
        if piece.startswith("'"):
            parts.append(re.escape(piece[1:-1] or "'"))
        elif piece[0].isalpha():
            length = len(piece)
            parts.append(
                rf"(?P<frac>\d{{{length}}})" if piece[0] == "S" else _LETTER_PATTERNS.get(piece, r"[^\W_]+")
            )
        else:
            parts.append(re.escape(piece))
    shape = re.compile(f"^{''.join(parts)}$", re.IGNORECASE)

    def read(text: str) -> float | None:
        found = shape.match(text.strip())
        if not found:
            return None
        parts = found.groupdict()
        hour = int(parts.get("h") or 0)
        if parts.get("h12"):
            if not 1 <= int(parts["h12"]) <= 12:
                return None
            hour = int(parts["h12"]) % 12 + (12 if (parts.get("ampm") or "").lower() == "pm" else 0)
        year = int(parts["y"]) if parts.get("y") else 2000 + int(parts.get("yy") or 0)
        month = _month(parts["mon"]) if parts.get("mon") else int(parts.get("mo") or 1)
        fraction = float(f"0.{parts['frac']}") if parts.get("frac") else 0.0
        minute, second = int(parts.get("mi") or 0), int(parts.get("s") or 0)
        day = int(parts.get("d") or 1)
        return _instant(year, month, day, hour, minute, second, fraction, parts.get("zone") or "")

    return read


def _month(text: str) -> int:
    names = [name.lower() for name in (MONTHS if len(text) == 3 else FULL_MONTHS)]
    return names.index(text.lower()) + 1 if text.lower() in names else 0


def _instant(
    year: int, month: int, day: int, hour: int, minute: int, second: int, fraction: float, zone: str
) -> float | None:
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        return None
    offset = 0
    if zone[:1] in ("+", "-"):
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * 60 * (1 if zone[0] == "+" else -1)
    return moment.timestamp() + fraction - offset
