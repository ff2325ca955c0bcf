"""Which rows can be used, and why the others can't: the reasons that the quarantine names."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset, Interactions
from fmrec.encoding.ingest.delimited import REASONS
from fmrec.encoding.ingest.encodings import undecoded_reason
from fmrec.encoding.ingest.json_lines import NOT_AN_OBJECT
from fmrec.encoding.ingest.line_fields import WRONG_NUMBER
from fmrec.encoding.ingest.number_text import LARGEST_FLOAT32, is_infinite, is_number, to_double
from fmrec.encoding.ingest.source_rows import BROKEN, FILE, POSITION, RAW, SKIP, START
from fmrec.encoding.ingest.timestamps import seconds_of

STATE = "_state"
"""What the row is: ``GOOD``, ``NO_ROW``, ``NOT_RATED``, ``ERASED``, or the number of its problem."""
GOOD, NO_ROW, NOT_RATED, ERASED = 0, -1, -3, -4


@dataclass(frozen=True)
class Problem:
    """Why rows can't be used, and in which of their files' columns that shows."""

    reason: str
    column: str | None
    found: Column


def check_rows(rows: DataFrame, dataset: Dataset, context: Iterable[str]) -> DataFrame:
    """Type the fields and find what is wrong with them.

    Parameters
    ----------
    rows : DataFrame
        As ``fmrec.encoding.ingest.source_rows.open_rows`` returns them, with a text column a role.
    context : iterable of str
        Text columns to keep as they are.

    Returns
    -------
    DataFrame
        ``user``, ``item`` and ``event`` (string), ``value`` (double), ``timestamp`` (double, seconds
        since 1970), where the data has them; ``FILE``, ``START``, ``POSITION`` and ``STATE``, a number of
        ``number_problems``, ``GOOD`` or ``NO_ROW``; ``RAW`` of bad rows.
    """
    interactions = dataset.interactions
    names = interactions.columns
    parsed: dict[str, Column] = {role: F.col(role) for role in ("user", "item", "event") if role in names}
    if "value" in names:
        parsed["value"] = to_double(F.col("value"), interactions.source.decimal)
    if "timestamp" in names:
        parsed["timestamp"] = seconds_of(
            F.col("timestamp"),
            interactions.timestamp_format,
            interactions.source.decimal,
            interactions.source.timezone,
        )
    # Parsed values get names of their own first, so that Spark parses them once for all checks.
    rows = rows.withColumns({f"_{role}": column for role, column in parsed.items()})
    state = F.when(F.col(SKIP), F.lit(NO_ROW))
    if interactions.not_rated:
        state = state.when(F.col(BROKEN).isNull() & _is_not_rated(interactions), F.lit(NOT_RATED))
    for number, problem in number_problems(dataset).items():
        state = state.when(problem.found, F.lit(number))
    checked = rows.select(
        *[F.col(f"_{role}").alias(role) for role in parsed],
        *context,
        *(FILE, START, POSITION, RAW),
        state.otherwise(F.lit(GOOD)).alias(STATE),
    )
    return checked.withColumn(RAW, F.when(F.col(STATE) > GOOD, F.col(RAW)))


def number_problems(dataset: Dataset) -> dict[int, Problem]:
    """Return what can be wrong by its number in ``STATE``, from 1: the first that applies counts."""
    limits, names = dataset.quarantine, dataset.interactions.columns
    found = [
        Problem(reason, None, F.col(BROKEN) == reason)
        for reason in (
            undecoded_reason(dataset.interactions.source.encoding),
            *REASONS.values(),
            WRONG_NUMBER,
            NOT_AN_OBJECT,
        )
    ]
    for role in ("user", "item"):
        too_long = F.length(role) > limits.max_id_length
        if not dataset.interactions.source.is_delimited:
            found.append(Problem(f"{role} is a list", names[role], list_of(role).isNotNull()))
        found.append(Problem(f"missing {role}", names[role], _missing(role)))
        found.append(Problem(f"{role} too long", names[role], too_long))
    if "event" in names:
        found.append(Problem("missing event", names["event"], _missing("event")))
    if "value" in names:
        number = F.col("_value")
        infinite = is_infinite(F.col("value"), dataset.interactions.source.decimal)
        found += [
            Problem("missing value", names["value"], _missing("value")),
            Problem("value is not a number", names["value"], number.isNull() & ~infinite),
            Problem("value is not finite", names["value"], infinite | (F.abs(number) > LARGEST_FLOAT32)),
        ]
    if "timestamp" in names:
        seconds = F.col("_timestamp")
        inside = (seconds >= epoch(limits.earliest)) & (seconds < epoch(limits.latest))
        found += [
            Problem("missing timestamp", names["timestamp"], _missing("timestamp")),
            Problem("timestamp is not a time", names["timestamp"], seconds.isNull()),
            Problem("timestamp out of range", names["timestamp"], ~inside),
        ]
    return dict(enumerate(found, start=1))


def list_of(column: str) -> Column:
    """Return what a JSON or Parquet list holds, null where the text is none."""
    text = F.col(column)
    return F.when(F.startswith(text, F.lit("[")), F.from_json(text, "array<string>"))


def not_rated_numbers(interactions: Interactions) -> list[float]:
    """Return the values that mean "not rated", of those that are numbers."""
    decimal = interactions.source.decimal
    return [float(text.replace(decimal, ".")) for text in interactions.not_rated if is_number(text, decimal)]


def _is_not_rated(interactions: Interactions) -> Column:
    found = F.trim("value").isin(list(interactions.not_rated))
    numbers = not_rated_numbers(interactions)
    return F.coalesce(found | F.col("_value").isin(numbers) if numbers else found, F.lit(False))


def _missing(role: str) -> Column:
    return F.col(role).isNull() | (F.trim(role) == "")


def epoch(iso8601: str) -> float:
    """Return a time of the data set document in seconds since 1970."""
    return datetime.datetime.fromisoformat(iso8601).timestamp()
