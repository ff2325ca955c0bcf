"""The driver process of a local Glue run: sets Spark's S3 up, runs the script, says how it ended.

``python glue_driver.py SETTINGS SCRIPT [ARGUMENT …]``; ``SETTINGS`` is a JSON file with ``mirror``
(folder of the bucket folders) and ``error_file``. The script runs as ``__main__`` with its
arguments; an exception's last line goes to ``error_file``, where the run's ErrorMessage comes from.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import runpy
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> int:
    """Run the script; returns the exit status."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    script = sys.argv[2]
    sys.argv = sys.argv[2:]

    # Beside this file, which is not in a package: the local cloud's own code is not on the run's path.
    glue_s3 = importlib.import_module("glue_s3")
    mirror = glue_s3.Mirror(Path(settings["mirror"]), _s3_client)
    glue_s3.install(mirror)
    message = _run(script)
    try:
        mirror.push()
    except Exception as error:  # the run has failed if what it wrote did not arrive
        traceback.print_exc()
        message = message or _last_line(error)
    _stop_spark()
    if message:
        Path(settings["error_file"]).write_text(message, encoding="utf-8")
    return 1 if message else 0


def _s3_client() -> Any:
    import boto3

    return boto3.client("s3")


def _run(script: str) -> str | None:
    """Run the script as ``__main__``; returns what it died of, if it did."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        if error.code in (None, 0):
            return None
        return f"SystemExit: {error.code}"
    except BaseException as error:  # whatever it is, it is the run's end
        traceback.print_exc()
        return _last_line(error)
    return None


def _last_line(error: BaseException) -> str:
    """The end of a traceback as Glue reports it: the class without its module, and the message."""
    line = f"{type(error).__name__}: {error}"
    killed_by = _signal_that_killed_spark()
    return f"Spark's JVM was killed by {killed_by}; the script saw {line}" if killed_by else line


def _signal_that_killed_spark() -> str | None:
    context = sys.modules.get("pyspark.core.context")
    gateway = context.SparkContext._gateway if context is not None else None
    if gateway is None:
        return None
    with contextlib.suppress(subprocess.TimeoutExpired):
        # The script may notice before the kernel has finished with the process.
        code = gateway.proc.wait(0.5)
        return signal.Signals(-code).name if code < 0 else None
    return None


def _stop_spark() -> None:
    if "pyspark" in sys.modules:
        from pyspark import SparkContext

        with contextlib.suppress(Exception):
            if SparkContext._active_spark_context is not None:
                SparkContext._active_spark_context.stop()


if __name__ == "__main__":
    sys.exit(main())
