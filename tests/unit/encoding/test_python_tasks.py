"""Workers read the directories of zip files once, and again when a file has changed."""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
import zipfile
import zipimport
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fmrec.encoding import python_tasks


def write(archive: Path, **modules: str) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        for name, code in modules.items():
            file.writestr(f"{name}.py", code)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Archives whose directories are read."""
    found: list[str] = []
    read_always = zipimport.zipimporter.invalidate_caches

    def counted(importer: zipimport.zipimporter) -> None:
        found.append(Path(importer.archive).name)
        read_always(importer)

    monkeypatch.setattr(python_tasks, "_FOUND", {})
    monkeypatch.setattr(python_tasks, "_read_always", counted)
    monkeypatch.setattr(zipimport.zipimporter, "invalidate_caches", counted)
    return found


def test_a_zip_files_directory_is_read_again_only_when_the_file_has_changed(
    reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "modules.zip"
    write(archive, zipped_before="VALUE = 1")
    monkeypatch.syspath_prepend(str(archive))
    assert importlib.import_module("zipped_before").VALUE == 1
    reads.clear()
    importlib.invalidate_caches()
    assert reads == ["modules.zip"]
    python_tasks.keep_zip_directories()
    python_tasks.keep_zip_directories()
    for _ in range(3):
        importlib.invalidate_caches()
    assert reads == ["modules.zip"]
    write(archive, zipped_before="VALUE = 1", zipped_after="VALUE = 2")
    importlib.invalidate_caches()
    assert reads == ["modules.zip"] * 2
    assert importlib.import_module("zipped_after").VALUE == 2
    archive.unlink()
    importlib.invalidate_caches()
    sys.path_importer_cache.pop(str(archive), None)


def test_functions_in_sparks_tasks_run_in_such_workers(spark: Any) -> None:
    def function(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kept = zipimport.zipimporter.invalidate_caches is python_tasks._read_if_changed
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"id": batch.column(0), "kept": [kept] * len(batch)})

    rows = python_tasks.map_in_arrow(spark.range(4), function, "id long, kept boolean").collect()
    assert sorted(rows) == [(0, True), (1, True), (2, True), (3, True)]


ARRAYS = """
import resource
import sys
import numpy as np
from fmrec.encoding.python_tasks import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
def use():
    return [np.ones(250_000) for _ in range(8)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_workers_use_freed_memory_again() -> None:
    def page_faults(*arguments: str) -> int:
        command = [sys.executable, "-c", ARRAYS, *arguments]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert page_faults("keep") < page_faults() / 10
