"""What is in the data, looked up again where a sentence about a setting needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE
from fmrec.encoding.ingest.chunks import EVENTS
from fmrec.encoding.ingest.source_rows import open_rows, resolve
from fmrec.encoding.ingest.validation import GOOD, STATE, check_rows

FREQUENT_EVENTS = 10


@dataclass(frozen=True)
class DataFacts:
    """Answers for ``training_check``, some of which take a look at the files once more."""

    spark: SparkSession
    dataset: Dataset
    raw_uri: str
    most: Callable[[], int]

    def most_interactions_of_a_user(self) -> int:
        return self.most()

    def values(self) -> tuple[float, float] | None:
        return self._range("value")

    def times(self) -> tuple[float, float] | None:
        return self._range("timestamp")

    def _range(self, role: str) -> tuple[float, float] | None:
        interactions = self.dataset.interactions
        if role not in interactions.columns:
            return None
        path = resolve(self.raw_uri, interactions.source.path)
        rows = open_rows(self.spark, interactions.source, path, interactions.columns).rows
        good = check_rows(rows, self.dataset, []).where(F.col(STATE) == GOOD)
        row = good.agg(F.min(role), F.max(role)).head()
        return None if row is None or row[0] is None else (float(row[0]), float(row[1]))


def count_events(texts: DataFrame, named: Iterable[str]) -> dict[str, int]:
    """Return how often events occur: those that are named, and the most frequent of the others."""
    names = list(named)
    if not names:
        return {}
    events = texts.where(F.col(NAMESPACE) == EVENTS).groupBy(NAME).agg(F.sum(COUNT).alias(COUNT))
    order = F.col(NAME).isin(names).desc(), F.desc(COUNT), F.col(NAME)
    return {row[0]: int(row[1]) for row in events.orderBy(*order).take(len(names) + FREQUENT_EVENTS)}


def most_frequent(counts: Mapping[str, int], named: Iterable[str]) -> dict[str, int]:
    """Return the same as ``count_events``, of counts that are at hand."""
    names = set(named)
    if not names:
        return {}
    order = sorted(counts, key=lambda name: (name not in names, -counts[name], name.encode()))
    return {name: counts[name] for name in order[: len(names) + FREQUENT_EVENTS]}


def most_interactions(spark: SparkSession, index_uri: str) -> int:
    """Return how many interactions the most active user has, as a feature index says."""
    index = spark.read.parquet(index_uri).where(F.col("namespace") == "user")
    row = index.agg(F.max(COUNT)).head()
    return int(row[0] or 0) if row is not None else 0
