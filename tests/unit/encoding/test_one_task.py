"""Small runs, which one task makes, write what the stages of larger runs write of the same rows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from pyspark.sql import DataFrame, SparkSession

from fmrec.artifacts.manifest import Dropped
from fmrec.dataset import Dataset
from fmrec.encoding import job, one_task, shuffle_plan
from fmrec.encoding.job import encode
from fmrec.encoding.shuffle.buckets import CountedInMemory, balanced_buckets
from fmrec.encoding.shuffle.messages import to_arrow
from tests.unit.encoding.run_files import stored

EVENTS = {
    "interactions": {
        "path": "events.jsonl",
        "format": "jsonl",
        "columns": {"user": "user", "item": "item", "timestamp": "at", "event": "event"},
    },
    "label": {"mode": "implicit", "event_weights": {"view": 0.5, "buy": 2}, "negatives_per_positive": 2},
    "split": {"method": "time-cut", "at": 5000},
    "minimum_interactions": {"user": 3, "item": 4},
    "unknown": "drop",
}
ODD_IDS = [
    "12",
    "12\n",
    "007",
    "7",
    "-0",
    "0",
    "-3",
    "é",
    "B",
    "a",
    "9" * 18,
    "9" * 19,
    "1" * 37,
    "1" * 38,
    "2\r\n",
]


def write_events(folder: Path) -> None:
    """Write 900 events of 15 users whose ids are hard to sort, and of 40 items."""
    events = ["view", "buy", "view", "hide"]
    rows = []
    for at in range(900):
        time = at * 13 % 6001
        item = 40 if time >= 5000 and at % 5 == 0 else at * 7 % 41 % 40
        user = ODD_IDS[(at * 11 + at // 7) % 15]
        rows.append({"user": user, "item": item, "at": time, "event": events[at % 4]})
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, rows)))


def run(spark: SparkSession, document: dict[str, Any], raw: Path, output: Path) -> dict[str, Any]:
    """Encode; return everything that is written, by content where Spark writes it."""
    encode(spark, Dataset.from_document(document), str(raw), str(output), "test")
    manifest = json.loads((output / "manifest.json").read_text())
    del manifest["created"], manifest["seconds"]
    index = pads.dataset(output / "feature_index").to_table()
    return stored(output) | {"manifest": manifest, "index": index.to_pydict(), "types": index.schema.types}


def in_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "fits_one_task", lambda dataset, read: False)


def test_one_task_indexes_odd_ids_and_drops_unknown_ones_as_the_stages_do(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(tmp_path)
    document = EVENTS | {"parts": 3}
    in_one = run(spark, document, tmp_path, tmp_path / "one")
    in_stages(monkeypatch)

    assert in_one == run(spark, document, tmp_path, tmp_path / "stages")
    assert {name for name in in_one if name.startswith("train/")} == {
        f"train/part-0000{at}.pbr" for at in range(3)
    }
    users = [
        name
        for name, namespace in zip(in_one["index"]["name"], in_one["index"]["namespace"], strict=True)
        if namespace == "user"
    ]
    numbers = ["-3", "-0", "0", "2\r\n", "007", "7", "12", "12\n", "9" * 18, "9" * 19, "1" * 37]
    assert users == [*numbers, "1" * 38, "B", "a", "é"]
    assert in_one["manifest"]["dropped_reasons"].keys() == {Dropped.ITEM_NOT_IN_TRAIN, Dropped.NOT_PICKED}


def test_one_task_cuts_the_buckets_and_parts_that_the_stages_cut(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Popularity is that of a bucket, so that its negatives change with the buckets."""

    def here(frame: DataFrame, task: one_task.OneTask) -> DataFrame:
        return spark.createDataFrame(pa.Table.from_batches(list(to_arrow(task(batches(frame))))))

    def batches(frame: DataFrame) -> Iterator[pa.RecordBatch]:
        yield from frame.toArrow().to_batches()

    monkeypatch.setattr(shuffle_plan, "BUCKET_ROWS", 150)
    monkeypatch.setattr(shuffle_plan, "PART_BYTES", 20_000)
    monkeypatch.setattr(one_task, "make_messages", here)
    write_events(tmp_path)
    label = {"mode": "implicit", "negatives_per_positive": 2, "sampling": "popularity"}
    document = EVENTS | {"label": label, "unknown": "index", "duplicates": "keep-last"}
    in_one = run(spark, document, tmp_path, tmp_path / "one")
    in_stages(monkeypatch)

    assert in_one == run(spark, document, tmp_path, tmp_path / "stages")
    assert len([name for name in in_one if name.startswith("test/")]) > 1


def test_users_are_cut_where_as_many_interactions_are_on_both_sides() -> None:
    counts = CountedInMemory(pa.array([5, 1, 1, 1, 1, 1, 6, 0, 4]).to_numpy())
    found = balanced_buckets(counts, (10, 19), rows=20, bucket_rows=5, partitions=2)
    assert found.starts.tolist() == [10, 11, 16, 17]
    assert found.partitions == 2


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"label": {"mode": "implicit", "negatives_per_positive": 4, "copies": 3}}, False),
        ({"label": {"mode": "implicit", "negatives_per_positive": 4, "copies": 1}}, True),
        ({"features": [{"name": "device", "of": "interaction"}]}, False),
        ({"quarantine": {"max_id_length": 1280}}, True),
        ({"quarantine": {"max_id_length": 1281}}, False),
    ],
)
def test_one_task_makes_runs_of_so_many_records_and_so_long_ids_as_it_holds(
    changed: dict[str, Any], fits: bool
) -> None:
    class Read:
        rows = good_count = 200_000

    dataset = Dataset.from_document({"interactions": {"path": "rows.csv"}} | changed)
    assert one_task.fits_one_task(dataset, Read()) is fits  # type: ignore[arg-type]
