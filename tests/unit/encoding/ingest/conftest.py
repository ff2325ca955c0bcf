"""What a document makes of files: the rows that can be used, and the quarantine."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset
from fmrec.encoding.feature_index import NAMESPACE
from fmrec.encoding.features.side_features import context_of
from fmrec.encoding.ingest.chunks import CHUNK, TEXTS
from fmrec.encoding.ingest.read_interactions import Ingested, ingest
from fmrec.encoding.ingest.spark_errors import READING_SETTINGS, to_input_error
from fmrec.encoding.row_types import CodedRows
from fmrec.encoding.shuffle.messages import Kind
from fmrec.errors import FmrecError

ALL_TRAIN = {"split": {"method": "none"}}


@dataclass(frozen=True)
class Taken:
    """``rows`` in file order: user, item, value, timestamp; ``bad``: file, line, column, reason."""

    ingested: Ingested
    rows: list[tuple[Any, ...]]
    bad: list[tuple[str, int, str | None, str]]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in self.rows]


Take = Callable[..., Taken]


@pytest.fixture
def take(spark: SparkSession, tmp_path: Path) -> Take:
    """Read ``raw`` (a folder) as the job does, by a document whose rows are all allowed to be bad."""
    for key, value in (READING_SETTINGS | {"spark.sql.session.timeZone": "UTC"}).items():
        spark.conf.set(key, value)

    def run(raw: Path, max_share: float = 1.0, **document: Any) -> Taken:
        dataset = Dataset.from_document(ALL_TRAIN | {"quarantine": {"max_share": max_share}} | document)
        quarantine = tmp_path / "quarantine"
        shutil.rmtree(quarantine, ignore_errors=True)
        kept: list[DataFrame] = []

        def keep(frame: DataFrame) -> DataFrame:
            kept.append(frame.persist())
            return frame

        try:
            ingested = ingest(spark, dataset, str(raw), str(quarantine), keep, context_of(dataset))
            rows = _rows(ingested)
        except FmrecError:
            raise
        except Exception as error:
            raise to_input_error(error) or error from error
        finally:
            for frame in kept:
                frame.unpersist()
        found = pads.dataset(quarantine).to_table().to_pylist()
        bad = [(row["file"].rpartition("/")[2], row["row"], row["column"], row["reason"]) for row in found]
        assert ingested.rows == len(rows) + len(bad) + ingested.not_rated
        return Taken(ingested, rows, sorted(bad, key=lambda row: row[:2]))

    return run


def _rows(ingested: Ingested) -> list[tuple[Any, ...]]:
    texts: dict[tuple[int, int], dict[int, str]] = {}
    chunks = ingested.chunks.where(F.col("kind").isin(TEXTS, int(Kind.ROWS))).collect()
    for row in chunks:
        if row["kind"] == TEXTS:
            names = texts.setdefault((row[CHUNK], row[NAMESPACE]), {})
            names.update(enumerate(row["texts"], row["first"]))
    found = []
    for row in chunks:
        if row["kind"] == TEXTS:
            continue
        batch = CodedRows.from_bytes(row["data"])
        columns = zip(
            ingested.numbers.of(batch.position).tolist(), batch.user.tolist(), batch.item.tolist(),
            batch.value.tolist(), batch.time.tolist(),
            batch.context.tolist(), strict=True,
        )  # fmt: skip
        for number, user, item, value, time, places in columns:
            ids = texts[row[CHUNK], 0][user], texts[row[CHUNK], 1][item]
            context = [
                None if place < 0 else texts[row[CHUNK], namespace][place]
                for namespace, place in enumerate(places, start=2)
            ]
            found.append((number, (*ids, value, time, *context)))
    numbers = [number for number, _ in found]
    assert len(set(numbers)) == len(numbers)
    return [row for _, row in sorted(found, key=lambda entry: entry[0])]
