"""The whole job while its tasks are killed or fail in the middle of what they store."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.encoding.run_files import stored

ROOT = Path(__file__).parents[3]
PATCH = """
import os, signal, sys
from pathlib import Path
if any("pyspark" in word for word in sys.orig_argv):  # Spark's Python workers, not the driver
    import fmrec.encoding.job  # before workers are forked, each of which ends when its task fails
    from fmrec.storage.part_files import LocalPart
    store = LocalPart.write
    def failing(self, data):
        store(self, data)
        folder = self._path.parents[2]
        run, output = folder.parent.name, folder.name
        if run == "hopeless" and output == "train":
            raise ValueError("out of luck")
        try:
            Path(os.environ["MARKS"], f"{run} {output}").open("x").close()
        except FileExistsError:
            return
        if run == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if run == "raised":
            raise ValueError("out of luck once")
    LocalPart.write = failing
"""
JOB = """
import sys
from fmrec.dataset import Dataset
from fmrec.encoding import job
from fmrec.encoding.local_spark import local_session
base = sys.argv[1]
spark = local_session("2,6")  # one task may store five outputs, each of which fails once
spark.sparkContext.setLogLevel("OFF")
dataset = Dataset.from_document({"interactions": {"path": "rows.csv"}, "parts": 3})
for run in ("calm", "killed", "raised", "hopeless"):
    job.fits_one_task = lambda *_: run in ("calm", "raised")
    try:
        job.encode(spark, dataset, base, f"{base}/{run}", run)
        print(run, "done")
    except Exception as error:
        print(run, "failed", "out of luck" in str(error))
"""


@pytest.mark.spark
def test_killed_and_failing_tasks_change_nothing_and_leave_nothing(tmp_path: Path) -> None:
    """In one task and in stages. In a session of its own, because only `local[cores, failures]` tries a task
    again.
    """
    random = np.random.default_rng(0)
    rows = np.column_stack([random.integers(1, 300, 20_000), random.integers(1, 99, 20_000)])
    lines = [f"{user},{item},{item % 5 + 1},{at}" for at, (user, item) in enumerate(rows.tolist())]
    (tmp_path / "rows.csv").write_text("\n".join(["user_id,item_id,rating,timestamp", *lines]))
    patch, marks = tmp_path / "patch", tmp_path / "marks"
    patch.mkdir()
    marks.mkdir()
    (patch / "sitecustomize.py").write_text(PATCH)
    earlier = tmp_path / "hopeless/train/part-00000.pbr"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"of an earlier run")
    environment = os.environ | {"PYTHONPATH": f"{patch}:{ROOT}", "MARKS": str(marks)}
    environment.pop("LOCALCLOUD_FORKS", None)  # a fork would not read the patch
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "calm done",
        "killed done",
        "raised done",
        "hopeless failed True",
    ], done.stderr
    calm = stored(tmp_path / "calm")
    assert sorted(calm) == [
        "heldout/part-00000.parquet",
        "seen/part-00000.parquet",
        "test/part-00000.pbr",
        *(f"train/part-0000{number}.pbr" for number in range(3)),
    ]
    for run in ("killed", "raised"):
        hit = {path.name for path in marks.iterdir() if path.name.startswith(run)}
        assert hit == {f"{run} {name}" for name in ("train", "test", "seen", "heldout", "feature_index")}
        assert stored(tmp_path / run) == calm
    assert stored(tmp_path / "hopeless") == {"train/part-00000.pbr": b"of an earlier run"}
    assert not (tmp_path / "hopeless/manifest.json").exists()
    assert not list(tmp_path.rglob("_temporary"))
