"""Glue job runs: states, concurrency, time-outs, stopping, and what is said about a failure.

Jobs and runs stay in the emulator's own stores, so that its GetJob, GetJobRun and the like answer
from them. Source: AWS Glue developer guide, "Job run statuses" and the StartJobRun API.
"""

from __future__ import annotations

import contextvars
import secrets
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.forks import Forks
from localcloud.glue.driver import IMPORTED, Driver, DriverError
from localcloud.glue.jvms import JvmError, Jvms
from localcloud.glue.logs import ship
from localcloud.home import Home, Record

ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR")
SPARK_COMMAND = "glueetl"
_POLL_SECONDS = 0.05
_RUN_SETTINGS = ("WorkerType", "NumberOfWorkers", "MaxCapacity", "SecurityConfiguration", "ExecutionClass")


@dataclass
class _Active:
    """A run that has not ended."""

    job: dict[str, Any]
    run: dict[str, Any]
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    driver: Driver | None = None


class GlueRuns:
    """Starts, watches and stops runs."""

    def __init__(self, home: Home, record: Record) -> None:
        self._home = home
        self._record = record
        self._jvms = Jvms(home, record)
        self._forks = Forks(IMPORTED, services=("s3",), door=home.temporary / "glue-forks")
        self._lock = threading.Lock()
        self._active: dict[str, _Active] = {}

    def start(self, request: dict[str, Any]) -> str:
        """StartJobRun: returns the run's id; the run goes on in the background.

        Raises
        ------
        ServiceFault
            ``EntityNotFoundException``, ``InvalidInputException`` or ``ConcurrentRunsExceededException``.
        """
        from ministack.services import glue

        name = request["JobName"]
        job = glue._jobs.get(name)
        if job is None:
            raise ServiceFault(
                "EntityNotFoundException", f"Failed to start job run due to missing metadata: {name}"
            )
        if job.get("Command", {}).get("Name") != SPARK_COMMAND:
            raise ServiceFault(
                "InvalidInputException",
                f"the local cloud runs {SPARK_COMMAND} jobs; {name} is a {job.get('Command', {}).get('Name')!r} job",
            )
        run_id = "jr_" + secrets.token_hex(32)
        run = _new_run(job, run_id, request)
        active = _Active(job, run)
        with self._lock:
            allowed = int((job.get("ExecutionProperty") or {}).get("MaxConcurrentRuns") or 1)
            if sum(other.job["Name"] == name for other in self._active.values()) >= allowed:
                raise ServiceFault("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {name}")
            self._active[run_id] = active
            glue._job_runs.setdefault(name, []).append(run)
        # The emulator finds account and region in the context of the request.
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._execute, active), daemon=True, name=f"glue-{run_id}"
        ).start()
        return run_id

    def describe(self, job_name: str, run_id: str) -> dict[str, Any]:
        """GetJobRun: the run as the API gives it, timestamps in seconds.

        Raises
        ------
        ServiceFault
            ``EntityNotFoundException``
        """
        return dict(self._find(job_name, run_id))

    def stop(self, job_name: str, run_ids: Iterable[str]) -> dict[str, Any]:
        """BatchStopJobRun: kill the runs' processes; answers when they are gone."""
        stopped, errors = [], []
        for run_id in run_ids:
            try:
                run = self._find(job_name, run_id)
                self._stop(run)
            except ServiceFault as fault:
                detail = {"ErrorCode": fault.code, "ErrorMessage": fault.message}
                errors.append({"JobName": job_name, "JobRunId": run_id, "ErrorDetail": detail})
            else:
                stopped.append({"JobName": job_name, "JobRunId": run_id})
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def processes(self) -> list[dict[str, Any]]:
        """``kind``, ``name`` (the run's id) and ``pid`` of every running driver."""
        with self._lock:
            drivers = [(run_id, active.driver) for run_id, active in self._active.items()]
        return [
            {"kind": "glue", "name": run_id, "pid": driver.pid}
            for run_id, driver in drivers
            if driver is not None and driver.started and driver.returncode() is None
        ]

    def warm_up(self) -> None:
        """Make the first run as quick as later ones, in the background."""
        self._jvms.warm_up()

    def take_jvm(self, request: dict[str, Any]) -> dict[str, Any]:
        """Give a run's driver Spark's JVM: ``port`` and ``secret`` to connect with.

        Raises
        ------
        ServiceFault
            There is no such run, or no JVM to be had.
        """
        with self._lock:
            active = self._active.get(str(request.get("run")))
        driver = active.driver if active is not None else None
        if driver is None:
            raise ServiceFault("NotFound", f"no Glue run {request.get('run')!r} is running", 404)
        try:
            port, secret = driver.take_jvm(request["settings"]).connection()
        except JvmError as error:
            raise ServiceFault("JvmError", str(error), 500) from error
        return {"port": port, "secret": secret}

    def close(self) -> None:
        """Stop every run."""
        with self._lock:
            active = list(self._active.values())
        for one in active:
            one.stop.set()
        for one in active:
            one.ended.wait(10.0)
        self._jvms.close()
        self._forks.close()

    def _find(self, job_name: str, run_id: str) -> dict[str, Any]:
        from ministack.services import glue

        for run in glue._job_runs.get(job_name) or []:
            if run["Id"] == run_id:
                found: dict[str, Any] = run
                return found
        raise ServiceFault(
            "EntityNotFoundException", f"Job Run with ID {run_id} of job {job_name} does not exist."
        )

    def _stop(self, run: dict[str, Any]) -> None:
        with self._lock:
            active = self._active.get(run["Id"])
        if active is None:
            raise ServiceFault(
                "JobRunNotInTerminalStateException"
                if run["JobRunState"] not in ENDED
                else "InvalidInputException",
                f"Job Run {run['Id']} is in state {run['JobRunState']} and can't be stopped.",
            )
        run["JobRunState"] = "STOPPING"
        active.stop.set()
        active.ended.wait(10.0)

    def _execute(self, active: _Active) -> None:
        run = active.run
        log = self._home.logs / "glue" / f"{run['Id']}.log"
        try:
            state, message = self._attempt(active, log)
        except DriverError as error:
            state, message = "FAILED", str(error)
        except Exception as error:  # a run always ends in a state
            state, message = "FAILED", f"internal error of the local cloud: {type(error).__name__}: {error}"
        ended = time.time()
        run["ErrorMessage"] = message
        run["CompletedOn"] = run["LastModifiedOn"] = ended
        run["ExecutionTime"] = round(ended - run["StartedOn"])
        ship(log, run["Id"], message)
        with self._lock:
            del self._active[run["Id"]]
        run["JobRunState"] = state
        active.ended.set()

    def _attempt(self, active: _Active, log: Any) -> tuple[str, str]:
        """Run the driver to its end; returns the run's last state and its ErrorMessage."""
        run = active.run
        driver = Driver(self._home, self._record, self._jvms, self._forks, active.job, run, log)
        try:
            active.driver = driver
            driver.start()
            if run["JobRunState"] == "STARTING":
                run["JobRunState"] = "RUNNING"
            deadline = time.monotonic() + float(run["Timeout"]) * 60
            while driver.returncode() is None:
                if active.stop.wait(_POLL_SECONDS):
                    driver.kill()
                    return "STOPPED", ""
                if time.monotonic() > deadline:
                    driver.kill()
                    return "TIMEOUT", f"Job run exceeded its timeout of {run['Timeout']} minutes"
            return _verdict(driver)
        finally:
            driver.remove()


def _verdict(driver: Driver) -> tuple[str, str]:
    code = driver.returncode()
    if code == 0:
        return "SUCCEEDED", ""
    message = driver.error_message()
    killed_by = driver.signal_that_killed_spark()
    if message is not None and killed_by:
        message = f"Spark's JVM was killed by {killed_by}; the script saw {message}"
    if message is None and code is not None and code < 0:
        name = signal.Signals(-code).name
        message = f"Command failed with exit code {128 - code}: the driver process was killed by {name}"
    return "FAILED", message or f"Command failed with exit code {code}"


def _new_run(job: dict[str, Any], run_id: str, request: dict[str, Any]) -> dict[str, Any]:
    now = time.time()
    run = {
        "Id": run_id,
        "Attempt": 0,
        "JobName": job["Name"],
        "JobMode": "SCRIPT",
        "JobRunQueuingEnabled": False,
        "StartedOn": now,
        "LastModifiedOn": now,
        "JobRunState": "STARTING",
        "Arguments": request.get("Arguments") or {},
        "ErrorMessage": "",
        "PredecessorRuns": [],
        "ExecutionTime": 0,
        "Timeout": int(request.get("Timeout") or job.get("Timeout") or 2880),
        "GlueVersion": job.get("GlueVersion"),
        "LogGroupName": "/aws-glue/jobs",
    }
    for name in _RUN_SETTINGS:
        value = request.get(name) or job.get(name)
        if value:
            run[name] = value
    return run
