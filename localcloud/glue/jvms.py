"""Spark's JVMs for Glue runs: one whose run came to its end waits for the next run.

Encoding MovieLens 100k takes 17 CPU seconds in a new JVM and 7 in one that has done so before: it has loaded
its classes and compiled its code. A run has its JVM to itself, and a context of its own in it. A script that
fails leaves its JVM as one that ends well does; a JVM whose run was stopped or killed is ended. PySpark
connects to a JVM that is there if given its port and secret (``pyspark.java_gateway.launch_gateway``).
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import select
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from localcloud.glue import spark
from localcloud.home import Home, Record, client_environment

JVM_SETTINGS = (
    "spark.driver.memory",
    "spark.driver.extraJavaOptions",
    "spark.driver.extraClassPath",
    "spark.driver.extraLibraryPath",
)
"""Settings that a JVM is started with; all others belong to the context, which each run makes anew."""
DEFAULTS = {"spark.driver.memory": "2g"}
"""What a run asks for that asks for nothing else."""
IDLE_SECONDS = 300.0
_START_SECONDS = 120.0
_POLL_SECONDS = 0.02
_LOG_CONFIGURATION = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.utils.name = org.apache.spark.util.Utils
logger.utils.level = error
logger.conf.name = org.apache.spark.SparkConf
logger.conf.level = error
"""


class JvmError(Exception):
    """A JVM doesn't start; the message says what it printed."""


class Jvm:
    """A JVM that a run's driver can connect to.

    Parameters
    ----------
    folder
        For its own files; made here, removed when it ends.
    settings
        Of ``JVM_SETTINGS``.
    environment
        All of its environment variables.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.settings = dict(settings)
        self.taken = 1
        """How often a run took it."""
        self._folder = folder
        self._lock = threading.Lock()
        self._log: IO[bytes] | None = None
        scratch = folder / "tmp"
        scratch.mkdir(parents=True)
        log_configuration = folder / "log4j2.properties"
        log_configuration.write_text(_LOG_CONFIGURATION, encoding="utf-8")
        options = f"{spark.java_options(scratch)} -Dlog4j2.configurationFile={log_configuration.as_uri()}"
        properties = {"spark.driver.extraJavaOptions": options} | self.settings
        lines = "".join(f"{name} {value}\n" for name, value in properties.items())
        (folder / "spark.conf").write_text(lines, encoding="utf-8")
        self._connection = folder / "connection"
        self._process = subprocess.Popen(
            [_spark_submit(), "--properties-file", str(folder / "spark.conf"), "pyspark-shell"],
            # It ends when this pipe does, and so with the local cloud at the latest.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={
                **environment,
                "SPARK_CONNECT_MODE": "0",
                "_PYSPARK_DRIVER_CONN_INFO_PATH": str(self._connection),
            },
            start_new_session=True,
        )
        threading.Thread(target=self._copy_output, daemon=True, name=f"jvm-{self.pid}").start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def write_to(self, log: Path) -> None:
        """Append what it prints to a file, until ``be_silent``."""
        with self._lock:
            self._log = log.open("ab", buffering=0)

    def be_silent(self) -> None:
        """Stop writing, once everything that was printed until now is written."""
        while self._printed():
            time.sleep(_POLL_SECONDS)
        with self._lock:
            if self._log is not None:
                self._log.close()
            self._log = None

    def connection(self) -> tuple[int, str]:
        """The port and the secret that a driver connects with, once it is up.

        Raises
        ------
        JvmError
            It has ended, or isn't up after two minutes.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._connection.exists():
            if self._process.poll() is not None:
                raise JvmError(f"Spark's JVM ended with exit code {self._process.returncode} as it started")
            if time.monotonic() > deadline:
                raise JvmError(f"Spark's JVM is not up after {_START_SECONDS:.0f} seconds")
            time.sleep(_POLL_SECONDS)
        content = self._connection.read_bytes()  # moved here whole
        port, length = struct.unpack_from(">ii", content)
        return port, content[8 : 8 + length].decode()

    def end(self) -> None:
        """Kill it, with the Python workers that listen to it, and remove its folder."""
        self._process.kill()
        self._process.wait()
        self.be_silent()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _printed(self) -> bool:
        """Whether it has printed what isn't written yet."""
        output = self._process.stdout
        with self._lock:
            return output is not None and not output.closed and bool(select.select([output], [], [], 0)[0])

    def _copy_output(self) -> None:
        output = self._process.stdout
        assert output is not None  # noqa: S101 - a pipe, by how it was started
        with output:
            while True:
                select.select([output], [], [])
                with self._lock:
                    found = os.read(output.fileno(), 1 << 16)
                    if found and self._log is not None:
                        self._log.write(found)
                if not found:
                    return


class Jvms:
    """The JVMs of one local cloud."""

    def __init__(self, home: Home, record: Record) -> None:
        self._folder = home.glue
        self._environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AWS_", "SPARK_", "PYSPARK_", "PYTHON"))
            },
            **client_environment(record),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "TZ": "UTC",
        }
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._idle: list[Jvm] = []
        self._warm = threading.Event()
        self._warm.set()
        self._closed = False

    def warm_up(self) -> None:
        """Have a JVM ready for the first run, in the background; a run that comes earlier waits for it."""
        self._warm.clear()
        threading.Thread(target=self._warm_up, daemon=True, name="warm-up").start()

    def take(self, settings: Mapping[str, Any]) -> Jvm:
        """A JVM with these of ``JVM_SETTINGS``: one that waits, or a new one. The taker gives it back or ends
        it.
        """
        wanted = {name: str(settings[name]) for name in JVM_SETTINGS if name in settings}
        self._warm.wait(_START_SECONDS)
        with self._lock:
            for jvm in self._idle:
                if jvm.settings == wanted and jvm.returncode() is None:
                    self._idle.remove(jvm)
                    jvm.taken += 1
                    return jvm
            number = next(self._numbers)
        return Jvm(self._folder / f"jvm-{number}", wanted, self._environment)

    def give_back(self, jvm: Jvm) -> None:
        """Let a JVM in which nothing runs wait for the next run: the last one, for some minutes."""
        jvm.be_silent()
        with self._lock:
            superfluous, self._idle = self._idle, [jvm]
            if self._closed:
                superfluous, self._idle = [*superfluous, jvm], []
        for other in superfluous:
            other.end()
        timer = threading.Timer(IDLE_SECONDS, self._end_idle, (jvm, jvm.taken))
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """End those that wait."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for jvm in idle:
            jvm.end()

    def _warm_up(self) -> None:
        jvm = Jvm(self._folder / "jvm-0", DEFAULTS, self._environment)
        try:
            port, secret = jvm.connection()
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                done = spark.exercise(
                    Path(folder), {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}
                )
        except (JvmError, OSError, subprocess.SubprocessError) as error:
            print(f"Spark's JVM was not warmed up: {error}", flush=True)
            jvm.end()
        else:
            if done.returncode:
                print(f"Spark's JVM was not warmed up: {done.stderr.strip()}", flush=True)
                jvm.end()
            else:
                self.give_back(jvm)
        finally:
            self._warm.set()

    def _end_idle(self, jvm: Jvm, taken: int) -> None:
        with self._lock:
            if jvm not in self._idle or jvm.taken != taken:
                return
            self._idle.remove(jvm)
        jvm.end()


def _spark_submit() -> str:
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise JvmError("PySpark is not installed: run `make setup`")
    return str(Path(found.origin).parent / "bin" / "spark-submit")
