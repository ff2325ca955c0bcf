"""PySpark's daemon, which forks the Python workers of a Glue run: it has imported what each of them imports.

``python -m glue_workers pyspark.worker``, by Spark's setting ``spark.python.daemon.module``. Spark puts its
archives of PySpark before everything else on the Python path. A daemon that imports it from there compiles it
in each run, half a second of a processor, and each worker would import pandas and PyArrow by itself, as long
again.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from importlib.machinery import PathFinder
from pathlib import Path

_IMPORTED = (
    "pyarrow",
    "pandas",
    "pyspark.worker",
    "pyspark.sql.pandas.serializers",
    "pyspark.sql.pandas.types",
)


def main() -> None:
    """Import, then be the daemon."""
    _leave_out_archives()
    for module in _IMPORTED:
        importlib.import_module(module)
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)


def _leave_out_archives() -> None:
    """Import PySpark from the folder where it is installed, in which Spark's archives of it lie."""
    found = PathFinder.find_spec("pyspark", [entry for entry in sys.path if Path(entry).is_dir()])
    if found is None or found.origin is None:
        return
    installed = Path(found.origin).parent
    for entry in [entry for entry in sys.path if installed in Path(entry).parents]:
        sys.path.remove(entry)
        sys.path_importer_cache.pop(entry, None)


if __name__ == "__main__":
    main()
