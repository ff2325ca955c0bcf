"""Spark's warnings are none of these tests' errors."""

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """PySpark leaves sockets to the garbage collector; everything else that warns is still an error."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(warning))
