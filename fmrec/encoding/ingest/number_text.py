"""What text is a number: one definition for values, times and features, in Arrow columns and in the JVM.

A number is what Python's ``float`` takes, in ASCII and without underscores, that is finite: a sign, digits
with at most one point, an exponent, and white space around it. ``4d``, ``0x1p3``, ``inf`` and ``nan`` are
numbers to other readers only. With a decimal comma, the comma stands where the point does, and a point is
no part of a number.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

WHITE_SPACE = " \t\n\r\f\v"
"""What Python's ``float`` strips, of ASCII."""
LARGEST_FLOAT32 = 3.4028234663852886e38
"""A number beyond it has no place in recordIO-protobuf."""


def pattern(decimal: str = ".") -> str:
    """Return the regular expression that a whole text matches if it is a number, for RE2, Java and Python."""
    blanks, mark = r"[\x09-\x0d ]*", re.escape(decimal)
    return rf"{blanks}[+-]?(?:[0-9]+(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?{blanks}"


def is_number(text: str, decimal: str = ".") -> bool:
    """Say whether a text is a number."""
    return bool(re.fullmatch(pattern(decimal), text)) and math.isfinite(float(text.replace(decimal, ".")))


def to_double(text: Column, decimal: str = ".") -> Column:
    """Return a Spark column of text as doubles: null where the text is no number, or not a finite one."""
    plain = F.trim(text, F.lit(WHITE_SPACE))
    if decimal != ".":
        plain = F.translate(plain, decimal, ".")
    number = F.when(F.rlike(text, F.lit(rf"^{pattern(decimal)}\z")), plain.try_cast("double"))
    return F.when(F.abs(number) < math.inf, number)


def is_infinite(text: Column, decimal: str = ".") -> Column:
    """Say of a Spark column of text whether it spells nan or infinity, or a number beyond float64."""
    spelled = F.rlike(F.lower(F.trim(text, F.lit(WHITE_SPACE))), F.lit(r"^[+-]?(?:nan|inf|infinity)\z"))
    return spelled | (F.rlike(text, F.lit(rf"^{pattern(decimal)}\z")) & to_double(text, decimal).isNull())


def to_doubles(text: pa.Array, decimal: str = ".") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return an Arrow array of text as doubles, and which are numbers; the others (nulls, too) are 0."""
    matched: Any = np.True_
    numbers = _cast(text) if decimal == "." else None
    if numbers is None:
        matches = pc.fill_null(pc.match_substring_regex(text, rf"^{pattern(decimal)}\z"), False)
        matched = np.asarray(matches)
        plain = pc.ascii_trim(pc.if_else(matches, text, "0"), WHITE_SPACE)
        numbers = pc.cast(
            pc.replace_substring(plain, decimal, ".") if decimal != "." else plain, pa.float64()
        )
    found = np.asarray(pc.fill_null(numbers, np.nan))
    fits = matched & np.isfinite(found)
    return (found if fits.all() else np.where(fits, found, 0.0)), fits


def _cast(text: pa.Array) -> Any:
    """Return numbers, if no text is anything else; of nan and inf Arrow knows several ways to write."""
    try:
        return pc.cast(text, pa.float64())
    except pa.ArrowInvalid:
        return None
