"""`df.write.format("recordio-protobuf")` and back, and what failing tasks leave behind: nothing."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import random as random_matrix

from fmrec.errors import InputError
from fmrec.recordio import decode
from fmrec.spark_source.sparse_columns import SparseColumns
from fmrec.storage.part_files import LocalOutput, open_output

FORMAT = "recordio-protobuf"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def two_hot(spark: SparkSession, rows: int, parts: int) -> DataFrame:
    frame = spark.range(0, rows, 1, parts)
    return frame.selectExpr("id % 7 AS user", "7 + id % 5 AS item", "CAST(id % 2 AS float) AS label")


def test_what_is_written_reads_back(spark: SparkSession, tmp_path: Path) -> None:
    matrix = random_matrix(50, 300, density=0.03, format="csr", dtype=np.float32, random_state=1)
    rows = [
        (float(at), matrix[at].indices.tolist(), [round(float(value), 3) for value in matrix[at].data])
        for at in range(50)
    ]
    frame = spark.createDataFrame(rows, "label float, indices array<int>, values array<float>")
    options = {"values": "values", "feature_dim": "300"}
    frame.coalesce(1).write.format(FORMAT).mode("append").options(**options).save(str(tmp_path))
    assert list(files(tmp_path)) == ["part-00000.pbr"]
    found = spark.read.format(FORMAT).load(str(tmp_path)).collect()
    assert [(row["label"], row["indices"]) for row in found] == [row[:2] for row in rows]
    assert [row["values"] for row in found] == [pytest.approx(row[2]) for row in rows]
    decoded, labels = decode(files(tmp_path)["part-00000.pbr"])
    assert decoded.shape == (50, 300)
    assert labels is not None
    assert labels.tolist() == list(range(50))


def test_append_goes_on_counting_and_overwrite_leaves_only_its_own_parts(
    spark: SparkSession, tmp_path: Path
) -> None:
    def write(mode: str, parts: int) -> list[str]:
        writer = two_hot(spark, 100, parts).write.format(FORMAT).mode(mode)
        writer.option("indices", "user,item").option("feature_dim", 12).save(str(tmp_path))
        return list(files(tmp_path))

    assert write("append", 2) == ["part-00000.pbr", "part-00001.pbr"]
    first = files(tmp_path)
    assert write("append", 1) == ["part-00000.pbr", "part-00001.pbr", "part-00002.pbr"]
    assert files(tmp_path)["part-00000.pbr"] == first["part-00000.pbr"]
    (tmp_path / "notes.txt").write_text("not a part")
    assert write("overwrite", 2) == ["notes.txt", "part-00000.pbr", "part-00001.pbr"]
    assert files(tmp_path)["part-00001.pbr"] == first["part-00001.pbr"]


def test_parts_are_cut_at_the_size_asked_for_and_empty_ones_are_not_made(
    spark: SparkSession, tmp_path: Path
) -> None:
    frame = two_hot(spark, 1000, 1).where("user = 1").union(two_hot(spark, 1000, 1).where("user > 99"))
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "20")
    try:
        frame.write.format(FORMAT).mode("overwrite").options(
            indices="user,item", feature_dim=12, max_part_bytes=3000
        ).save(str(tmp_path))
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    found = files(tmp_path)
    assert list(found) == [f"part-00000-{number:03d}.pbr" for number in range(len(found))]
    assert all(len(data) <= 3000 for data in found.values())
    assert decode(b"".join(found.values()))[0].shape == (143, 12)


def failing(frame: DataFrame, marker: Path, how: str) -> DataFrame:
    """Break the task of partition 1 once (or always) in the middle of what it writes."""
    killed, always = how == "kill", how == "always"

    def run(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        for at, batch in enumerate(batches):
            if (
                at == 2
                and context is not None
                and context.partitionId() == 1
                and (always or not marker.exists())
            ):
                marker.touch()
                if killed:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ValueError("out of luck")
            yield batch

    return frame.mapInArrow(run, frame.schema)


FAILING_JOB = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
import importlib.util
spec = importlib.util.spec_from_file_location("these", {file!r})
these = sys.modules["these"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(these)
import pyspark.cloudpickle as cloudpickle
cloudpickle.register_pickle_by_value(these)
from fmrec.spark_source import RecordIOProtobuf
from fmrec.encoding.local_spark import local_session
spark = local_session("2,3")
spark.dataSource.register(RecordIOProtobuf)
spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
spark.sparkContext.setLogLevel("OFF")
base = Path({base!r})
frame = these.two_hot(spark, 5000, 3)
def write(frame, name):
    frame.write.format("recordio-protobuf").mode("overwrite").options(indices="user,item", feature_dim=12).save(str(base / name))
write(frame, "calm")
for how in ("raise", "kill"):
    write(these.failing(frame, base / how, how), "out-" + how)
write(frame, "out-always")
try:
    write(these.failing(frame, base / "always", "always"), "out-always")
except Exception as error:
    print("failed", "out of luck" in str(error))
"""


@pytest.mark.spark
def test_failed_and_killed_tasks_change_nothing_and_leave_nothing(tmp_path: Path) -> None:
    """In a session of its own, because only `local[cores, failures]` tries a task again."""
    here = Path(__file__)
    code = FAILING_JOB.format(
        root=str(here.parents[3]), tests=str(here.parent), file=str(here), base=str(tmp_path)
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "failed True", done.stderr
    calm = files(tmp_path / "calm")
    assert len(calm) == 3
    assert (tmp_path / "raise").exists()
    assert (tmp_path / "kill").exists()
    for how in ("raise", "kill", "always"):
        assert files(tmp_path / f"out-{how}") == calm
        assert [path.name for path in (tmp_path / f"out-{how}").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"indices": "user,item"}, "option feature_dim is missing: expected an integer"),
        ({"indices": "user,item", "feature_dim": "many"}, "option feature_dim is 'many'"),
        (
            {"indices": "user,thing", "feature_dim": 12},
            "names 'thing', but the columns are user, item, label",
        ),
        (
            {"indices": "user,label", "feature_dim": 12},
            "names 'label', which is float: expected integers",
        ),
        (
            {"indices": "user,item", "values": "1", "feature_dim": 12},
            "values names 1 columns or numbers and indices 2",
        ),
        ({"indices": "user,item", "featuredim": 12}, "option 'featuredim' is unknown to recordio-protobuf"),
        ({"indices": "user,item", "feature_dim": 11}, "column item holds index 11: expected 0 to 10"),
        ({"records": "user"}, "names 'user', which is bigint: expected binary"),
        ({"records": "user", "feature_dim": 3}, "option feature_dim has no use together with records"),
    ],
)
def test_wrong_options_and_indices_are_said_in_a_sentence(
    options: dict[str, str], sentence: str, spark: SparkSession, tmp_path: Path
) -> None:
    with pytest.raises(PySparkException, match=re.escape(sentence)):
        two_hot(spark, 10, 1).write.format(FORMAT).mode("append").options(**options).save(str(tmp_path))
    assert files(tmp_path) == {}


def test_reading_an_empty_folder_says_so(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(PySparkException, match="holds no file: expected recordIO-protobuf parts"):
        spark.read.format(FORMAT).load(str(tmp_path)).count()


def test_columns_become_rows_of_a_sparse_matrix_and_nulls_become_nothing() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "user": pa.array([3, None, 0], pa.int32()),
            "more": pa.array([[7, 8], [], None], pa.list_(pa.int64())),
            "weights": pa.array([[0.5, 2.0], [], None], pa.list_(pa.float64())),
        }
    )
    indptr, indices, values = SparseColumns(("user", "more"), (1.0, "weights")).to_csr(batch, 9)
    assert indptr.tolist() == [0, 3, 3, 4]
    assert indices.tolist() == [3, 7, 8, 0]
    assert values.tolist() == [1.0, 0.5, 2.0, 1.0]
    with pytest.raises(InputError, match="rows of different lengths"):
        SparseColumns(("more",), ("user",)).to_csr(batch, 9)


def test_an_output_is_invisible_until_committed_and_twins_are_swept_away(tmp_path: Path) -> None:
    output = open_output(f"file://{tmp_path}", overwrite=True)
    assert isinstance(output, LocalOutput)
    kept, twin = output.open("part-00000.pbr"), output.open("part-00000.pbr")
    for part, data in ((kept, b"kept"), (twin, b"half")):
        part.write(memoryview(data))
    message = kept.finish()
    assert not list(tmp_path.glob("part-*"))
    output.commit([message], overwrite=True)
    assert files(tmp_path) == {"part-00000.pbr": b"kept"}
    with pytest.raises(InputError, match="expected s3://bucket/folder"):
        open_output("hdfs://somewhere/else", overwrite=True)
