"""Small runs, which one task makes, write what the stages of larger runs write of the same rows."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pytest
from pyspark.sql import DataFrame, SparkSession

from fmrec.artifacts.manifest import Dropped
from fmrec.dataset import Dataset
from fmrec.encoding import job, one_task, shuffle_plan, stages
from fmrec.encoding.index_task import IndexTask, fits_index_task
from fmrec.encoding.ingest.chunks import make_chunks
from fmrec.encoding.ingest.files import are_small
from fmrec.encoding.ingest.read_interactions import Ingested, ingest
from fmrec.encoding.ingest.source_rows import FILE, POSITION, RAW, START
from fmrec.encoding.ingest.validation import GOOD, NO_ROW, STATE
from fmrec.encoding.job import encode
from fmrec.encoding.session_settings import session_settings
from fmrec.encoding.shuffle.buckets import CountedInMemory, balanced_buckets
from fmrec.encoding.shuffle.messages import to_arrow
from fmrec.errors import InputError
from tests.unit.encoding.features.drawn_features import draw_data_set
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


SEVEN_NEGATIVES = {"mode": "implicit", "negatives_per_positive": 7, "copies": 1}
DEVICES = [{"name": "device", "of": "interaction"}]
ADAPTIVE = {"spark.sql.adaptive.enabled": "true"}
"""Spark plans anew after each shuffle, as it does where runs are large."""


def run(spark: SparkSession, document: dict[str, Any], raw: Path, output: Path) -> dict[str, Any]:
    """Encode; return everything that is written, by content where Spark writes it."""
    encode(spark, Dataset.from_document(document), str(raw), str(output), "test")
    manifest = json.loads((output / "manifest.json").read_text())
    del manifest["created"], manifest["seconds"]
    found: dict[str, Any] = stored(output) | {"manifest": manifest}
    for name in ("feature_index", "user_features", "item_features"):
        if (output / name).exists():
            table = pads.dataset(output / name).to_table().sort_by("column")
            found |= {name: table.to_pydict(), f"types of {name}": list(map(str, table.schema.types))}
    return found


@pytest.fixture
def read_once(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the job read its files once in a test: only from then on do the ways of encoding differ."""
    found: list[Ingested] = []

    def read(*arguments: Any, **options: Any) -> Ingested:
        if not found:
            ingested = ingest(*arguments, **options)
            found.append(replace(ingested, chunks=spark.createDataFrame(ingested.chunks.toArrow())))
        return found[0]

    monkeypatch.setattr(job, "ingest", read)


def in_stages(monkeypatch: pytest.MonkeyPatch, *, few_texts: bool) -> None:
    monkeypatch.setattr(job, "fits_one_task", lambda *_: False)
    monkeypatch.setattr(job, "fits_index_task", lambda *_: few_texts)


def test_one_task_indexes_odd_ids_and_drops_unknown_ones_as_the_stages_do(
    spark: SparkSession, read_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(tmp_path)
    document = EVENTS | {"parts": 3}
    in_one = run(spark, document, tmp_path, tmp_path / "one")
    for few_texts in (True, False):
        in_stages(monkeypatch, few_texts=few_texts)
        with session_settings(spark, ADAPTIVE):
            assert in_one == run(spark, document, tmp_path, tmp_path / "stages")
    assert {name for name in in_one if name.startswith("train/")} == {
        f"train/part-0000{at}.pbr" for at in range(3)
    }
    index = in_one["feature_index"]
    users = [
        name for name, namespace in zip(index["name"], index["namespace"], strict=True) if namespace == "user"
    ]
    numbers = ["-3", "-0", "0", "2\r\n", "007", "7", "12", "12\n", "9" * 18, "9" * 19, "1" * 37]
    assert users == [*numbers, "1" * 38, "B", "a", "é"]
    assert in_one["manifest"]["dropped_reasons"].keys() == {Dropped.ITEM_NOT_IN_TRAIN, Dropped.NOT_PICKED}


def test_one_task_cuts_the_buckets_and_parts_that_the_stages_cut(
    spark: SparkSession, read_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Popularity is that of a bucket, so that its negatives change with the buckets."""

    def here(frame: DataFrame, task: one_task.OneTask | IndexTask) -> DataFrame:
        return spark.createDataFrame(pa.Table.from_batches(list(to_arrow(task(batches(frame))))))

    def batches(frame: DataFrame) -> Iterator[pa.RecordBatch]:
        yield from frame.toArrow().to_batches()

    monkeypatch.setattr(shuffle_plan, "BUCKET_ROWS", 150)
    monkeypatch.setattr(shuffle_plan, "PART_BYTES", 20_000)
    for module in (one_task, stages):
        monkeypatch.setattr(module, "make_messages", here)
    write_events(tmp_path)
    label = {"mode": "implicit", "negatives_per_positive": 2, "sampling": "popularity"}
    document = EVENTS | {"label": label, "unknown": "index", "duplicates": "keep-last"}
    in_one = run(spark, document, tmp_path, tmp_path / "one")
    for few_texts in (True, False):
        in_stages(monkeypatch, few_texts=few_texts)
        assert in_one == run(spark, document, tmp_path, tmp_path / "stages")
    assert len([name for name in in_one if name.startswith("test/")]) > 1


@pytest.mark.parametrize(
    ("seed", "unknown", "plans"), [(0, "index", {}), (1, "drop", {}), (2, "features-only", ADAPTIVE)]
)
def test_one_task_makes_the_side_features_that_the_stages_make(
    seed: int,
    unknown: str,
    plans: dict[str, str],
    spark: SparkSession,
    read_once: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = draw_data_set(tmp_path, seed, unknown)
    in_one = run(spark, document, tmp_path, tmp_path / "one")
    for few_texts in (True, False):
        in_stages(monkeypatch, few_texts=few_texts)
        with session_settings(spark, plans):
            assert in_one == run(spark, document, tmp_path, tmp_path / "stages")
    assert in_one["manifest"]["details"]["side_features"]


REFUSED = [
    ("item_id,f\n007,1\n008,2\n", {}, "none of the 2 ids in 'item_id' of .* there are '007', '008', the interactions have '0', '1', '10'"),
    ("item_id,f\n", {}, "items.csv holds no rows: expected attributes"),
    ("item_id,f\n1,x,y\n2,1\n", {}, r"1 of 2 rows of .* are bad \(50.00%: 1 wrong number of fields, e.g. '1,x,y'\)"),
    ("item_id,f\n1,x\n2,y\n", {}, r"the feature 'f' \(kind numeric\) has nothing to write: .* \(there are 'x', 'y'\)"),
    ("item_id,f\n1,5\n", {"minimum_interactions": {"user": 9}}, "no user has at least 9 interactions"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("items", "changed", "sentence", "stages"),
    [*((*refused, False) for refused in REFUSED), (*REFUSED[0], True), (*REFUSED[3], True)],
)
def test_a_task_refuses_attributes_that_can_t_be_used_and_leaves_nothing(
    items: str,
    changed: dict[str, Any],
    sentence: str,
    stages: bool,
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if stages:
        in_stages(monkeypatch, few_texts=True)
    rows = [f"{at % 4},{at % 11},{at % 5 + 1},{at}" for at in range(30)]
    (tmp_path / "rows.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *rows]))
    (tmp_path / "items.csv").write_text(items)
    document: dict[str, Any] = {
        "interactions": {"path": "rows.csv"},
        "items": {"path": "items.csv"},
        "features": [{"name": "f", "of": "item", "kind": "numeric"}],
    }
    with pytest.raises(InputError, match=sentence):
        run(spark, document | changed, tmp_path, tmp_path / "out")

    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".pbr", ".json")]
    assert not list((tmp_path / "out/feature_index").glob("*"))


@pytest.mark.parametrize("few_texts", [True, False])
def test_stages_also_say_that_nobody_is_frequent_enough(
    few_texts: bool, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_stages(monkeypatch, few_texts=few_texts)
    write_events(tmp_path)
    document = EVENTS | {"minimum_interactions": {"user": 999, "item": 999}}
    with pytest.raises(InputError, match="no user has at least 999 interactions"):
        run(spark, document, tmp_path, tmp_path / "out")


def test_attributes_in_large_files_are_left_to_the_stages(tmp_path: Path) -> None:
    for name, size in (("a", 7), ("b", 4)):
        (tmp_path / name).write_bytes(b"x" * size)
    names = [f"file://{tmp_path}/{name}" for name in "ab"]
    assert are_small(names, 11)
    assert not are_small(names, 10)
    assert not are_small(["hdfs://host/a"], 11)


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
        ({"label": SEVEN_NEGATIVES}, True),
        ({"label": SEVEN_NEGATIVES, "features": DEVICES}, False),
        ({"features": DEVICES}, True),
    ],
)
def test_one_task_makes_runs_of_so_many_records_and_texts_as_it_holds(
    changed: dict[str, Any], fits: bool
) -> None:
    class Read:
        rows = good_count = 200_000
        text_bytes = 128 << 20

    dataset, read = Dataset.from_document({"interactions": {"path": "rows.csv"}} | changed), Read()
    assert one_task.fits_one_task(dataset, read, []) is fits  # type: ignore[arg-type]
    read.text_bytes += 1
    assert not one_task.fits_one_task(dataset, read, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text_bytes", "attribute_bytes", "few"),
    [(128 << 20, 16 << 20, True), (129 << 20, 0, False), (0, (16 << 20) + 1, False)],
)
def test_larger_runs_are_indexed_by_one_task_if_it_holds_all_that_the_index_is_made_of(
    text_bytes: int, attribute_bytes: int, few: bool, tmp_path: Path
) -> None:
    with (tmp_path / "users.csv").open("wb") as file:
        file.truncate(attribute_bytes)
    read = SimpleNamespace(text_bytes=text_bytes)
    attributes = SimpleNamespace(opened=SimpleNamespace(files=[f"file://{tmp_path}/users.csv"]))
    assert fits_index_task(read, [attributes]) is few  # type: ignore[arg-type, list-item]


def test_each_chunk_counts_the_bytes_of_its_texts() -> None:
    def batch(users: list[str], states: list[int]) -> pa.RecordBatch:
        count = len(users)
        numbers = dict.fromkeys((FILE, START, POSITION), pa.array(range(count)))
        texts = {"user": pa.array(users), "item": pa.array(["i"] * count), RAW: pa.nulls(count, pa.string())}
        values = dict.fromkeys(("value", "timestamp"), pa.array([1.0] * count))
        return pa.RecordBatch.from_pydict(texts | values | numbers | {STATE: pa.array(states, pa.int32())})

    *_, counts = make_chunks(
        [batch(["u1", "u2", "u1", "left out"], [GOOD, GOOD, GOOD, NO_ROW])], {0: "user", 1: "item"}
    )
    assert json.loads(counts.column("data")[0].as_py()) == {
        "pieces": [[0, 0, GOOD, 0, 1], [1, 1, GOOD, 1, 1], [2, 2, GOOD, 2, 1], [3, 3, NO_ROW, 3, 1]],
        "text_bytes": len("u1u2i") + 4 * (2 + 1),
    }
