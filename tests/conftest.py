"""What tests need, how they are spread over processes, and fixtures that several rooms' tests share."""

import fcntl
import gc
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from demo.movielens import MovieLens, fetch

# Tests run in as many processes as there are cores: more threads of OpenBLAS spend their time on waiting
# for each other. Read when NumPy is first imported, here or in a program that a test starts.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = ["tests.fixtures.dynamodb", "tests.fixtures.model_registry", "tests.fixtures.small_runs"]

# How long an example takes says how busy the machine is, more so when files of tests run at the same time.
settings.register_profile("suite", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=30)  # make test-fast
settings.load_profile("suite")

ROOT = Path(__file__).resolve().parent.parent
TESTS = Path(__file__).resolve().parent

NEEDS_BY_FIXTURE = {
    "spark": "spark",
    "pipeline": "cloud",
    "sdk_v2": "oracle",
    "mxnet": "oracle",
    "trec_eval": "oracle",
}
"""The marker that a fixture brings to each test that uses it; other tests name theirs in ``pytestmark``."""

NEEDS_BY_FOLDER = {
    "workflow": "cloud",
    "unit/localcloud": "cloud",
    "oracles": "oracle",
    "browser": "oracle",
    "fuzz": "fuzz",
}

REFUSALS = ("workflow/test_last_resorts.py", "workflow/test_instance_refusals.py")
"""They change quotas and faults of a whole account, so they have a deployed cloud of their own."""

SHARED = {
    "workflow-data": (
        "workflow/test_api.py",
        "workflow/test_api_tokens.py",
        "workflow/test_encoding_side_features.py",
        "workflow/test_verify.py",
        "workflow/test_week.py",
    ),
    "workflow": ("workflow/",),
    "killed-tasks": ("unit/encoding/test_job_failures.py",),
    "spark": (
        "unit/encoding/",
        "unit/spark_source/",
        "unit/inspection/test_layouts.py",
        "unit/inspection/test_inspection.py",
        "unit/inspection/test_recipes.py",
    ),
    "localcloud": ("unit/localcloud/",),
    "infra": ("infra/",),
    "browser": ("browser/",),
    "oracles": ("oracles/",),
}
"""Groups of files that share a deployed local cloud, a Spark session, a local cloud, a synthesis,
environments. A second session would load and compile Spark's classes again, which takes as long as a quarter
of the tests that share it; tests of killed tasks start one of their own.
"""

LONGEST_FIRST = (
    "spark",
    "workflow",
    "workflow-data",
    "localcloud",
    "workflow-refusals",
    "infra",
)
"""Groups that take minutes start first, so that no process is left alone with one at the end. One of
the three that need the deployed app deploys it, for which one more waits at first, and not both.
"""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders all of whose tests ``-m`` leaves out, with what their modules import."""
    terms = str(config.option.markexpr).split(" and ")
    if not all(re.fullmatch(r"(not )?\w+", term) for term in terms) or not collection_path.is_relative_to(
        TESTS
    ):
        return None
    need = NEEDS_BY_FOLDER.get(collection_path.relative_to(TESTS).as_posix())
    return True if f"not {need}" in terms else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among modules and tests, which stay: it took a third of the time of collecting."""
    gc.disable()
    try:
        with ExitStack() as until_compiled:
            # One process compiles all modules of a fresh clone; the others wait, and read what it has kept.
            until_compiled.enter_context(one_process_at_a_time("collection"))
            if any((TESTS / "unit" / "__pycache__").glob("*-pytest-*.pyc")):
                until_compiled.close()
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # -m selects by these markers in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what each test needs, and put the longest groups first."""
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        for folder, need in NEEDS_BY_FOLDER.items():
            if path.startswith(f"{folder}/"):
                item.add_marker(need)
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in NEEDS_BY_FIXTURE:
                item.add_marker(NEEDS_BY_FIXTURE[fixture])
    order = {name: position for position, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(_group(item.path.relative_to(TESTS).as_posix()), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run a group in one process, in order: tests that share something expensive, or else a file.

    xdist 3.8.0 has a marker for groups (``xdist_group``), which has no effect with pytest 9.2.0.
    """
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid.partition("::")[0].removeprefix(f"{TESTS.name}/"))

    return Groups(config, log)


def _group(path: str) -> str:
    if path in REFUSALS:
        return "workflow-refusals"
    return next((name for name, places in SHARED.items() if path.startswith(places)), path)


@contextmanager
def one_process_at_a_time(name: str) -> Iterator[None]:
    """Hold a lock that all processes of this checkout's tests share."""
    path = ROOT / "build" / f"{name}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def movielens_100k() -> MovieLens:
    """MovieLens 100k as CSV files, fetched once and kept under build/."""
    with one_process_at_a_time("movielens"):
        return fetch(ROOT / "build/data/ml-100k")
