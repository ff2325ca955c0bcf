"""What encoding tests share: MovieLens 100k and the job on a document."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from demo.movielens import MovieLens
from fmrec.artifacts.manifest import Manifest
from fmrec.dataset import Dataset
from fmrec.encoding.job import encode


@pytest.fixture(scope="session", autouse=True)
def _own_jvms(short_lived_jvms: None) -> None:
    """Start the JVMs of tests' own programs, too, as short-lived ones."""


@pytest.fixture(scope="session")
def movielens(movielens_100k: MovieLens) -> MovieLens:
    return movielens_100k


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
