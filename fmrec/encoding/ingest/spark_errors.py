"""What Spark must be set to for reading files, and what its errors mean to the person who owns them."""

from __future__ import annotations

import re

from pyspark.errors import AnalysisException

from fmrec.errors import InputError

READING_SETTINGS = {
    # Spark has no nanoseconds: such Parquet columns are read as integers.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
}
_UNREADABLE = re.compile(r"\[FAILED_READ_FILE[^]]*\] Encountered error while reading file (.*?)\.\s")
_OWN = re.compile(r"^(?:\w+\.)*InputError: (.+)$", re.MULTILINE)
"""An error that a task's Python raised, in what Spark makes of it."""


def to_input_error(error: Exception) -> InputError | None:
    """Return what the files' owner has to know, if an error of Spark is about files."""
    text = str(error)
    own, unreadable = _OWN.search(text), _UNREADABLE.search(text)
    if own:
        return InputError(own[1])
    if unreadable:
        return InputError(
            f"{unreadable[1]} can't be read: it is cut off, damaged, or not of the format that the document says"
        )
    if isinstance(error, AnalysisException):
        return InputError(f"Spark can't read the files: {first_sentence(error)}")
    return None


def first_sentence(error: Exception) -> str:
    """Return what Spark said, without its traceback."""
    return re.sub(r"\s*SQLSTATE: \w+$", "", str(error).strip().partition("\n")[0])
