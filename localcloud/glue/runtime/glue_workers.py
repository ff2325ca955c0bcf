"""PySpark's daemon, which forks the Python workers of a Glue run: it has imported what each of them imports.

``python -m glue_workers pyspark.worker``, by Spark's setting ``spark.python.daemon.module``. The daemon is a
fork of what the run's driver was forked from, which has imported all that. Where nothing is forked, this
process is the daemon: Spark puts its archives of PySpark before everything else on the Python path, and a
daemon that imports it from there compiles it in each run, half a second of a processor, and each worker would
import pandas and PyArrow by itself, as long again.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import socket
import struct
import sys
from importlib.machinery import PathFinder
from pathlib import Path

_DAEMON = "pyspark.daemon"
_IMPORTED = (
    "pyarrow",
    "pandas",
    "pyspark.worker",
    "pyspark.sql.pandas.serializers",
    "pyspark.sql.pandas.types",
)


def main() -> int:
    """Wait for a fork that is the daemon; without, import, and be it."""
    door = os.environ.get("LOCALCLOUD_FORKS")
    code = _forked(Path(door)) if door else None
    if code is not None:
        return code
    _leave_out_archives()
    for module in _IMPORTED:
        importlib.import_module(module)
    runpy.run_module(_DAEMON, run_name="__main__", alter_sys=True)
    return 0


def _forked(door: Path) -> int | None:
    """The exit code of a daemon that has this process's files; None if nothing is forked."""
    folder = str(Path.cwd())
    program = {"program": ["-m", _DAEMON, *sys.argv[1:]], "folder": folder, "environment": dict(os.environ)}
    report, its_report = os.pipe()
    try:
        os.chdir(door.parent)  # the kernel takes short names only
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as forks:
            forks.connect(door.name)
            socket.send_fds(forks, [json.dumps(program).encode()], [0, 1, 2, its_report])
    except OSError:
        os.chdir(folder)
        return None
    finally:
        os.close(its_report)
    with os.fdopen(report, "rb") as file:
        reported = file.read(8)
    return os.waitstatus_to_exitcode(struct.unpack("=ii", reported)[1]) if len(reported) == 8 else 1


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
    sys.exit(main())
