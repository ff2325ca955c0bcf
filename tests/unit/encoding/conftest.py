"""One Spark session for all encoding tests, and MovieLens 100k fetched once into build/data."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from demo.movielens import MovieLens, fetch
from fmrec.artifacts.manifest import Manifest
from fmrec.dataset import Dataset
from fmrec.encoding.datasource import RecordIOProtobuf
from fmrec.encoding.job import encode
from fmrec.encoding.session import local_session
from localcloud.glue.spark import java_options, submit_arguments

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session", autouse=True)
def _short_lived_jvms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start JVMs, those of tests' own programs too, as the local cloud does for small jobs."""
    folder = tmp_path_factory.mktemp("jvm")
    settings = folder / "spark.conf"
    settings.write_text(f"spark.driver.extraJavaOptions {java_options(folder)}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", submit_arguments(settings))
        yield


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    session = local_session("2", scratch=str(tmp_path_factory.mktemp("spark")))
    session.conf.set("spark.sql.shuffle.partitions", "4")
    session.dataSource.register(RecordIOProtobuf)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def movielens() -> MovieLens:
    return fetch(ROOT / "build/data/ml-100k")


@pytest.fixture
def encode_document(spark: SparkSession) -> Callable[..., Manifest]:
    """Encode what a document describes, as the job does."""

    def run(document: dict[str, Any], raw: Path, output: Path) -> Manifest:
        manifest = encode(spark, Dataset.from_document(document), str(raw), str(output), "test")
        assert json.loads((output / "manifest.json").read_text())["run"] == "test"
        return manifest

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """PySpark leaves sockets to the garbage collector; everything else that warns is still an error."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(warning))
