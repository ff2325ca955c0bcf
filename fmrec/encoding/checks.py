"""Which rows can be used, and why the others can't: the reasons that the quarantine names."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.encoding.rows import BROKEN, PATH, POSITION, RAW, SKIP, START
from fmrec.encoding.times import seconds_of

REASON, COLUMN = "_reason", "_column"
"""Why a row is not used and in which of its files' columns that shows; both null for a good row."""
LARGEST_FLOAT32 = 3.4028234663852886e38


def check_rows(rows: DataFrame, dataset: Dataset, context: Iterable[str]) -> DataFrame:
    """Type the fields and find what is wrong with them.

    Parameters
    ----------
    rows : DataFrame
        As ``fmrec.encoding.rows.read_rows`` returns them, with a text column a role.
    context : iterable of str
        Text columns to keep as they are.

    Returns
    -------
    DataFrame
        ``user``, ``item`` and ``event`` (string), ``value`` (double), ``timestamp`` (double, seconds
        since 1970), where the data has them; provenance; ``REASON`` and ``COLUMN``; ``RAW`` of bad rows.
    """
    interactions, limits = dataset.interactions, dataset.quarantine
    names = interactions.columns
    typed: dict[str, Column] = {name: F.col(name) for name in (*names, *context)}
    problems: list[tuple[Column, str, str | None]] = [
        (F.col(BROKEN) == reason, reason, None)
        for reason in ("invalid UTF-8", "unbalanced quotes", "wrong number of fields", "not a JSON object")
    ]
    for role in ("user", "item"):
        too_long = F.length(role) > limits.max_id_length
        problems += [(_missing(role), f"missing {role}", role), (too_long, f"{role} too long", role)]
    if "event" in names:
        problems.append((_missing("event"), "missing event", "event"))
    if "value" in names:
        value = typed["value"] = F.col("value").try_cast("double")
        # Java reads 4d and 4f as numbers.
        suffixed = F.lower(F.right("value", F.lit(1))).isin("d", "f")
        problems += [
            (_missing("value"), "missing value", "value"),
            (value.isNull() | suffixed, "value is not a number", "value"),
            (F.isnan(value) | (F.abs(value) > LARGEST_FLOAT32), "value is not finite", "value"),
        ]
    if "timestamp" in names:
        seconds = typed["timestamp"] = seconds_of(F.col("timestamp"), interactions.timestamp_format)
        earliest, latest = _epoch(limits.earliest), _epoch(limits.latest)
        inside = (seconds >= earliest) & (seconds < latest)  # NaN is above every number
        problems += [
            (_missing("timestamp"), "missing timestamp", "timestamp"),
            (seconds.isNull(), "timestamp is not a time", "timestamp"),
            (~inside, "timestamp out of range", "timestamp"),
        ]
    number = F.lit(None).cast("int")
    for at, (wrong, _, _) in reversed(list(enumerate(problems))):
        number = F.when(wrong, F.lit(at)).otherwise(number)
    reasons = F.array(*[F.lit(reason) for _, reason, _ in problems])
    columns = F.array(*[F.lit(names[role] if role else None).cast("string") for _, _, role in problems])
    checked = rows.select(
        *[column.alias(role) for role, column in typed.items()],
        *(PATH, START, POSITION, SKIP, RAW),
        F.when(F.col(SKIP), None).otherwise(number).alias("_problem"),
    )
    bad = F.col("_problem").isNotNull()
    return checked.select(
        *typed,
        *(PATH, START, POSITION, SKIP),
        F.when(bad, F.col(RAW)).alias(RAW),
        F.when(bad, F.get(reasons, F.col("_problem"))).alias(REASON),
        F.when(bad, F.get(columns, F.col("_problem"))).alias(COLUMN),
    )


def _missing(role: str) -> Column:
    return F.col(role).isNull() | (F.trim(role) == "")


def _epoch(iso8601: str) -> float:
    return datetime.datetime.fromisoformat(iso8601).timestamp()
