"""Times as they stand in files, in seconds since 1970."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows


def seconds_of(text: Column, timestamp_format: str) -> Column:
    """Read a time as the data set document says it is written: a double, null if it isn't one."""
    if timestamp_format == "iso8601":
        return F.try_to_timestamp(text).cast("double")
    number = text.try_cast("double")
    return number / 1000 if timestamp_format == "milliseconds" else number
