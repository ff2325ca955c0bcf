"""The data source's tests start JVMs of their own, and PySpark leaves sockets to the garbage collector."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_jvms(short_lived_jvms: None) -> None:
    """Start the JVMs of tests' own programs, too, as short-lived ones."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything else that warns is still an error."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
                item.add_marker(pytest.mark.filterwarnings(warning))
