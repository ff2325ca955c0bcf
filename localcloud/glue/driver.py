"""The process of one Glue run: what it is given, how it is started, and how all of it is ended.

The script runs on the machine's own Spark with the arguments that Glue gives it, with the job's
role, and with nothing on its Python path but ``--extra-py-files`` and the installed packages.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import IO, Any

from localcloud import roles
from localcloud.forks import Forks, Process
from localcloud.glue.jvms import DEFAULTS, Jvm, JvmError, Jvms
from localcloud.glue.libraries import compiled
from localcloud.home import Home, Record, client_environment
from localcloud.kept import FOLDER
from localcloud.processes import end_marked

RUN_MARK = "LOCALCLOUD_GLUE_RUN"
"""Environment variable in everything that a run starts."""

IMPORTED = (
    "boto3.session",
    "numpy",
    "pandas",
    "pyarrow",
    "pyspark.sql",
    "pyspark.java_gateway",
    "pyspark.worker",
    "pyspark.sql.pandas.serializers",
)
"""What a driver imports, before its script does, and what the Python workers of its run import."""

_RUNTIME = Path(__file__).resolve().parent / "runtime"
_S3_URI = re.compile(r"s3[an]?://([^/]+)/(.+)")

# Glue's own, which it does not hand on to the script.
_FOR_GLUE = (
    "--extra-py-files",
    "--extra-jars",
    "--extra-files",
    "--additional-python-modules",
    "--python-modules-installer-option",
    "--conf",
    "--class",
    "--job-language",
)


class DriverError(Exception):
    """A run can't start; the message is its ErrorMessage."""


class Driver:
    """The process of one run and its working folder.

    Parameters
    ----------
    forks
        What its process is a fork of, where that is possible.
    job, run
        The job and the run as the API describes them.
    log
        The file that the run's output goes to.
    """

    def __init__(
        self,
        home: Home,
        record: Record,
        jvms: Jvms,
        forks: Forks,
        job: dict[str, Any],
        run: dict[str, Any],
        log: Path,
    ) -> None:
        self._record = record
        self._jvms = jvms
        self._forks = forks
        self._job = job
        self._run = run
        self._log = log
        self._folder = home.glue / str(run["Id"])
        self._error_file = self._folder / "error.txt"
        self._clean_file = self._folder / "clean"
        self._process: Process | None = None
        self._jvm: Jvm | None = None
        self._killed = False
        self._lock = threading.Lock()
        self._credentials = roles.credentials(job["Role"], "GlueJobRunnerSession")

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process's id, once it is started."""
        if self._process is None:
            raise RuntimeError("a driver has no process id before it is started")
        return self._process.pid

    def start(self) -> None:
        """Fetch the script and its libraries, and start the process.

        Raises
        ------
        DriverError
            They can't be fetched.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True)
        arguments = self._arguments()
        with self._log.open("ab") as log:
            libraries = self._fetch_libraries(arguments, log)
            script = self._fetch(self._job["Command"]["ScriptLocation"], self._folder / "script", "script")
            self._working_folder().mkdir()
            environment = self._environment(libraries)
            settings = {
                "run": self._run["Id"],
                "control": self._record.endpoint_url,
                "mirror": str(self._mirror()),
                "error_file": str(self._error_file),
                "clean_file": str(self._clean_file),
                "spark": self._spark_settings(arguments, environment),
            }
            settings_file = self._folder / "settings.json"
            settings_file.write_text(json.dumps(settings), encoding="utf-8")
            command = [
                sys.executable,
                str(_RUNTIME / "glue_driver.py"),
                str(settings_file),
                str(script),
                *self._argv(arguments),
            ]
            self._process = self._started(command, {**self._inherited(), **environment}, log)

    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def error_message(self) -> str | None:
        """What the script died of, if it could still tell."""
        try:
            return self._error_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def take_jvm(self, settings: dict[str, Any]) -> Jvm:
        """Spark's JVM for this run, which has not asked for one before.

        Raises
        ------
        JvmError
            The run has one or has ended.
        """
        with self._lock:
            if self._jvm is not None or self._killed:
                raise JvmError(f"the run {self._run['Id']} has a JVM already, or has ended")
            self._jvm = self._jvms.take(settings)
        self._jvm.write_to(self._log)
        return self._jvm

    def signal_that_killed_spark(self) -> str | None:
        """The signal that Spark's JVM died of, if it died of one."""
        code = self._jvm.returncode() if self._jvm is not None else None
        return signal.Signals(-code).name if code is not None and code < 0 else None

    def kill(self) -> None:
        """End the process with all it started."""
        with self._lock:
            self._killed = True
        if self._process is not None:
            self._process.kill()  # a fork has the mark of what it is forked from
        end_marked(RUN_MARK, self._run["Id"], grace_seconds=0.0)
        if self._process is not None:
            self._process.wait()
        if self._jvm is not None:
            self._jvm.end()

    def remove(self) -> None:
        """End what is left of the run and remove its folder; the log stays, and a JVM that can
        serve again.
        """
        jvm = self._jvm
        # A script that fails stops its context like any other; what kills its process does not.
        if jvm is not None and self.returncode() in (0, 1) and self._clean_file.exists():
            self._jvm = None
            self._jvms.give_back(jvm)
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Process:
        if self._forks.possible(command, environment):
            return self._forks.start_logged(command, environment, self._working_folder(), log)
        return subprocess.Popen(
            command,
            cwd=self._working_folder(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _arguments(self) -> dict[str, str]:
        """Default arguments, overridden by the run's, overridden by those that can't be overridden."""
        return {
            **(self._job.get("DefaultArguments") or {}),
            **self._run["Arguments"],
            **(self._job.get("NonOverridableArguments") or {}),
        }

    def _argv(self, arguments: dict[str, str]) -> list[str]:
        """``sys.argv[1:]`` of the script in the order and form that Glue gives it."""
        argv = ["--job-bookmark-option", "job-bookmark-disable"]
        argv += ["--JOB_ID", f"j_{self._job['Name']}", "true"]
        argv += ["--JOB_RUN_ID", self._run["Id"], "--JOB_NAME", self._job["Name"]]
        for name, value in arguments.items():
            if name not in _FOR_GLUE and name != "--job-bookmark-option":
                argv += [name, value]
        return argv

    def _fetch_libraries(self, arguments: dict[str, str], log: IO[bytes]) -> list[str]:
        """Entries for the Python path from ``--extra-py-files``."""
        modules = arguments.get("--additional-python-modules")
        if modules:
            log.write(
                f"local cloud: --additional-python-modules {modules} is not installed; "
                "the run uses the packages of the local environment\n".encode()
            )
        folder = self._folder / "libraries"
        entries = []
        for number, uri in enumerate(filter(None, arguments.get("--extra-py-files", "").split(","))):
            file = self._fetch(uri.strip(), folder / str(number), "--extra-py-files")
            if zipfile.is_zipfile(file):
                file = compiled(file, FOLDER / "libraries")
            entries.append(str(file.parent if file.suffix == ".py" else file))
        return entries

    def _fetch(self, uri: str, folder: Path, what: str) -> Path:
        """Download an object with the job's role, as Glue does, and return the file."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        match = _S3_URI.fullmatch(uri)
        if match is None:
            raise DriverError(f"LAUNCH ERROR | {what} {uri!r} is not an S3 path")
        bucket, key = match.groups()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / Path(key).name
        try:
            self._s3.download_file(bucket, key, str(file))
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise DriverError(f"LAUNCH ERROR | {what} {uri} can't be read: {error}") from error
        return file

    @functools.cached_property
    def _s3(self) -> Any:
        return roles.client("s3", self._credentials, self._record)

    def _mirror(self) -> Path:
        return self._folder / "s3"

    def _scratch(self) -> Path:
        return self._folder / "scratch"

    def _working_folder(self) -> Path:
        return self._folder / "work"

    def _spark_settings(self, arguments: dict[str, str], environment: dict[str, str]) -> dict[str, str]:
        """Spark's settings: what Glue 6.0 sets, ``--conf``, and S3 as folders (see ``glue_s3``)."""
        from ministack.services import s3

        self._scratch().mkdir()
        overload = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme"
        settings = {
            "spark.master": "local[2]",
            "spark.app.name": self._job["Name"],
            **DEFAULTS,
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(self._scratch()),
            "spark.python.daemon.module": "glue_workers",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.warehouse.dir": (self._folder / "warehouse").as_uri(),
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.session.timeZone": "UTC",
        }
        target = "spark.hadoop.fs.viewfs.overload.scheme.target.file.impl"
        settings[target] = "org.apache.hadoop.fs.RawLocalFileSystem"  # no .crc files next to objects
        for scheme in ("s3", "s3a", "s3n"):
            settings[f"spark.hadoop.fs.{scheme}.impl"] = overload
        for bucket in s3._buckets:
            folder = self._mirror() / bucket
            folder.mkdir(parents=True)
            settings[f"spark.hadoop.fs.viewfs.mounttable.{bucket}.linkFallback"] = folder.as_uri()
        # The JVM may have been there before the run, and its Python workers are the run's.
        settings |= {f"spark.executorEnv.{name}": value for name, value in environment.items()}
        for entry in re.split(r"\s*--conf\s+", arguments.get("--conf", "").strip()):
            name, separator, value = entry.partition("=")
            if separator:
                settings[name.strip()] = value.strip()
        return settings

    def _inherited(self) -> dict[str, str]:
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "SPARK_", "PYSPARK_", "PYTHON"))
        }

    def _environment(self, libraries: list[str]) -> dict[str, str]:
        """The run's own environment variables."""
        return {
            **client_environment(self._record),
            **self._credentials,
            RUN_MARK: self._run["Id"],
            "LOCALCLOUD_FORKS": str(self._forks.door),  # for glue_workers
            "PYTHONPATH": os.pathsep.join([*libraries, str(_RUNTIME)]),
            "PYTHONUNBUFFERED": "1",
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "TZ": "UTC",
        }
