"""The driver process of a local Glue run: sets Spark's S3 up, runs the script, says how it ended.

``python glue_driver.py SETTINGS SCRIPT [ARGUMENT …]``; ``SETTINGS`` is a JSON file with ``mirror``
(folder of the bucket folders), ``spark`` (Spark's settings), ``error_file`` and ``clean_file``. The script
runs as ``__main__`` with its arguments; an exception's last line goes to ``error_file``, where the run's
ErrorMessage comes from. When the script first asks for Spark, the local cloud is asked for a JVM, which may
have served other runs; ``clean_file`` says that nothing of this run is left in it.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import os
import runpy
import sys
import traceback
import urllib.parse
from pathlib import Path
from typing import Any


def main() -> int:
    """Run the script; returns the exit status."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    script = sys.argv[2]
    sys.argv = sys.argv[2:]

    # Next to this file, which is not in a package: the local cloud's own code is not on the run's path.
    glue_s3 = importlib.import_module("glue_s3")
    mirror = glue_s3.Mirror(Path(settings["mirror"]), _s3_client)
    glue_s3.install(mirror)
    properties = _take_jvm_when_needed(settings)
    message = _run(script)
    try:
        mirror.push()
    except Exception as error:  # the run has failed if what it wrote did not arrive
        traceback.print_exc()
        message = message or _last_line(error)
    _stop_spark(properties, Path(settings["clean_file"]))
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
    return f"{type(error).__name__}: {error}"


def _take_jvm_when_needed(settings: dict[str, Any]) -> dict[str, str | None]:
    """Have PySpark connect to a JVM of the local cloud.

    Returns
    -------
    dict
        Empty until then; what the JVM's properties were, of those that are the run's.
    """
    from pyspark import java_gateway
    from pyspark.core import context

    earlier: dict[str, str | None] = {}
    connect: Any = java_gateway.launch_gateway

    def launch_gateway(conf: Any = None, popen_kwargs: Any = None) -> Any:
        given = settings["spark"] | dict((conf.getAll() if conf else None) or ())
        body = json.dumps({"run": settings["run"], "settings": given}).encode()
        connection = _ask(settings["control"], "/_localcloud/glue/jvms", body)
        os.environ["PYSPARK_GATEWAY_PORT"] = str(connection["port"])
        os.environ["PYSPARK_GATEWAY_SECRET"] = connection["secret"]
        gateway = connect(conf, popen_kwargs)
        system = gateway.jvm.java.lang.System
        earlier.update({name: system.setProperty(name, value) for name, value in given.items()})
        return gateway

    vars(context)["launch_gateway"] = launch_gateway
    return earlier


def _ask(endpoint_url: str, path: str, body: bytes) -> Any:
    """Ask the local cloud, past any proxy."""
    server = http.client.HTTPConnection(urllib.parse.urlsplit(endpoint_url).netloc)
    server.request("POST", path, body)
    with server.getresponse() as response:
        answer = json.load(response)
    if response.status != http.HTTPStatus.OK:
        raise RuntimeError(answer["message"])
    return answer


def _stop_spark(properties: dict[str, str | None], clean_file: Path) -> None:
    """Stop the context, and leave the JVM as it was found."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    with contextlib.suppress(Exception):
        session = SparkSession._instantiatedSession
        if session is not None:
            session.stop()
        if SparkContext._active_spark_context is not None:
            SparkContext._active_spark_context.stop()
        if SparkContext._jvm is None:
            return
        for name, value in properties.items():
            if value is None:
                SparkContext._jvm.java.lang.System.clearProperty(name)
            else:
                SparkContext._jvm.java.lang.System.setProperty(name, value)
        # The buckets' folders are the run's.
        SparkContext._jvm.org.apache.hadoop.fs.FileSystem.closeAll()
        clean_file.touch()


if __name__ == "__main__":
    sys.exit(main())
