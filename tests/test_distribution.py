"""The library by itself: wheel and sdist, installed into empty environments of each supported Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from localcloud.glue.spark import SHORT_LIVED

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")

FIRST_EXAMPLE = """
import io
import numpy as np
from fmrec.recordio import encode_csr, encode_dense, decode, read_records

records = encode_csr(
    np.array([0, 2, 4]), np.array([0, 5, 1, 6]), np.ones(4, np.float32), 7, np.array([1, 0], np.float32)
)
(first, second) = read_records(io.BytesIO(bytes(records)))
assert first.label["values"].float32_tensor.values.tolist() == [1.0], first
matrix, labels = decode(bytes(encode_dense(np.eye(3, dtype=np.float32))))
assert matrix.tolist() == np.eye(3).tolist(), matrix

from fmrec.model import FactorizationMachine

machine = FactorizationMachine(0.5, np.ones(7, np.float32), np.ones((7, 2), np.float32), "regressor")
machine.save("model.tar.gz")
assert FactorizationMachine.load("model.tar.gz").factors.shape == (7, 2)
print("works")
"""

SPARK_EXAMPLE = """
import sys
from pyspark.sql import SparkSession
from fmrec.spark_source import RecordIOProtobuf

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.dataSource.register(RecordIOProtobuf)
frame = spark.range(0, 6, 1, 1).selectExpr("id % 2 AS user", "2 + id % 3 AS item", "CAST(id % 2 AS float) AS label")
write = frame.write.format("recordio-protobuf").mode("overwrite").option("indices", "user,item")
write.option("feature_dim", 5).save(sys.argv[1])
rows = spark.read.format("recordio-protobuf").load(sys.argv[1]).collect()
print([(row.label, row.indices) for row in rows])
spark.stop()
"""


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def uv(*arguments: str | Path) -> str:
    return run(sys.executable, "-m", "uv", *arguments)


def uv_from_cache(*arguments: str | Path) -> None:
    """Do with what uv has downloaded and built before, or else with PyPI.

    Where an index states no time for which its files stay the same, uv would build PySpark's wheel each time.
    """
    command = (sys.executable, "-m", "uv", *arguments, "--quiet", "--system-certs")
    if subprocess.run([*command, "--offline"], capture_output=True, check=False).returncode:
        run(*command)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and the wheel built from it."""
    sources, folder = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "fmrec", sources / "fmrec", ignore=shutil.ignore_patterns("__pycache__"))
    uv_from_cache("build", "--out-dir", folder, sources)
    return folder


@pytest.fixture
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def environment(folder: Path, python: str, package: str, *options: str | Path) -> Path:
    """The interpreter of an empty environment with one package and what it requires."""
    uv("venv", "--quiet", "--python", python, folder)
    interpreter = folder / "bin/python"
    uv_from_cache("pip", "install", "--python", interpreter, package, *options)
    return interpreter


def test_both_hold_the_library_its_tables_and_nothing_else(dist: Path, wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        packed = {name.partition("/")[2] for name in sources.getnames()}

    assert {name.split("/")[0] for name in names} == {"fmrec", "fmrec-0.1.0.dist-info"}
    assert {"fmrec/py.typed", "fmrec/instances/instance_types.csv", "fmrec/recordio/encode.py"} <= set(names)
    assert {name for name in names if name.startswith("fmrec/")} <= packed


@pytest.mark.parametrize("version", SUPPORTED)
def test_numpy_alone_writes_and_reads_records_and_models(version: str, wheel: Path, tmp_path: Path) -> None:
    python = interpreter_of(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    interpreter = environment(tmp_path / "empty", python, str(wheel))

    installed = {line.split("==")[0] for line in uv("pip", "freeze", "--python", interpreter).splitlines()}
    assert {name.split(" ")[0] for name in installed} == {"fmrec", "numpy"}
    assert run(interpreter, "-I", "-c", FIRST_EXAMPLE, cwd=tmp_path) == "works\n"
    assert "COMMAND" in run(interpreter.with_name("fmrec"), "--help")
    refused = subprocess.run(
        [interpreter.with_name("fmrec"), "recommend", "42"], capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stderr) == (
        2,
        "fmrec recommend: boto3 is not installed: pip install 'fmrec[aws]'\n",
    )


@pytest.mark.spark
def test_the_spark_extra_brings_the_data_source(wheel: Path, tmp_path: Path) -> None:
    # The locked Spark's wheel, which setup has built, stays in uv's cache: building another takes 20 seconds.
    version = os.environ.get("SPARK_VERSION")
    spark = (f"pyspark=={version}",) if version else ("--constraint", ROOT / "requirements-dev.txt")
    interpreter = environment(tmp_path / "spark", sys.executable, f"{wheel}[spark]", *spark)

    # Spark's Python workers, too, have this environment and nothing of the checkout.
    own = {"PYSPARK_PYTHON": str(interpreter), "PYTHONPATH": "", "JDK_JAVA_OPTIONS": SHORT_LIVED}
    example = (interpreter, "-I", "-c", SPARK_EXAMPLE, tmp_path / "records")
    found = run(*example, cwd=tmp_path, env=os.environ | own)

    assert found == str([(float(n % 2), [n % 2, 2 + n % 3]) for n in range(6)]) + "\n"


def interpreter_of(version: str) -> str | None:
    """A Python of this version that runs; pyenv's shims may not."""
    for name in (
        shutil.which(f"python{version}"),
        *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ):
        if name and subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0:
            return name
    return None
