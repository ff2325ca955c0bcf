"""Fixtures that several rooms' tests share."""

from pathlib import Path

import pytest

from demo.movielens import MovieLens, fetch

pytest_plugins = ["tests.fixtures.dynamodb", "tests.fixtures.model_registry", "tests.fixtures.small_runs"]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def movielens_100k() -> MovieLens:
    """MovieLens 100k as CSV files, fetched once and kept under build/."""
    return fetch(ROOT / "build/data/ml-100k")
