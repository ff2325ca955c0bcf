"""The programs that stand in for containers: started, listed, limited in memory, and never left behind.

Each runs in a process group of its own, so that it is stopped with everything it started; on Linux
the kernel kills it if the server is killed (``launcher``, ``localcloud.fork_server``).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from localcloud.forks import Forks, Process

Kind = Literal["training", "transform", "endpoint"]

REPOSITORY_ROOT = pathlib.Path(__file__).resolve().parents[2]
_LAUNCHER = str(pathlib.Path(__file__).with_name("launcher.py"))
_STAND_INS = ("algorithms.factorization_machines", "algorithms.knn")
"""Programs that are forks of a process which has imported their modules."""
IMPORTED = ("algorithms.factorization_machines.train", "algorithms.knn.train", "algorithms.knn.serve")
"""What these programs import."""
STOP_GRACE_SECONDS = 120.0
"""Between SIGTERM and SIGKILL when a job is stopped, as on AWS."""
_MEMORY_POLL_SECONDS = 0.02


class ShutDownError(Exception):
    """The local cloud is stopping; no program is started any more."""


class Child:
    """One running program."""

    def __init__(self, kind: Kind, name: str, process: Process) -> None:
        self.kind = kind
        self.name = name
        self.process = process
        self.out_of_memory = False
        """Killed because it went over the memory limit."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group, if it still runs."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill the group and wait for the program's end."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, grace_seconds: float) -> None:
        """Ask the program to end, and kill it if it doesn't within the grace."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_seconds)
        self.kill()


class Children:
    """Starts programs and keeps count of those that run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Child] = {}
        self._closed = False
        self._forks = Forks(IMPORTED, [str(REPOSITORY_ROOT)])
        # The kernel ties a child's death signal to the *thread* that forked it: one that outlives them all.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sagemaker-spawner")

    def start(
        self,
        kind: Kind,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: pathlib.Path,
        memory_limit_bytes: int | None = None,
    ) -> Child:
        """Start a program, its output appended to ``log``.

        Parameters
        ----------
        environment
            Set on top of the server's environment, of which AWS settings are left out: a container
            has only what SageMaker gives it.
        memory_limit_bytes
            Resident size of the program and its children above which it is killed (Linux only).

        Raises
        ------
        ShutDownError
            ``close`` was called.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        python_path = os.pathsep.join(filter(None, [str(REPOSITORY_ROOT), inherited.get("PYTHONPATH")]))
        try:
            child = self._spawner.submit(
                self._spawn,
                kind,
                name,
                list(command),
                inherited | {"PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"} | dict(environment),
                log,
            ).result()
        except RuntimeError as error:  # the executor's word for being shut down
            raise ShutDownError("the local cloud is stopping") from error
        threading.Thread(target=self._forget_at_end, args=(child,), daemon=True).start()
        if memory_limit_bytes is not None and sys.platform == "linux":
            threading.Thread(target=_watch_memory, args=(child, memory_limit_bytes), daemon=True).start()
        return child

    def listing(self) -> list[dict[str, str | int]]:
        """``kind``, ``name`` and ``pid`` of every running program."""
        with self._lock:
            return [
                {"kind": child.kind, "name": child.name, "pid": pid} for pid, child in self._running.items()
            ]

    def close(self) -> None:
        """Kill every program and start no more."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for child in running:
            child.signal(signal.SIGKILL)
        for child in running:
            child.process.wait()
        self._spawner.shutdown(wait=True)
        self._forks.close()

    def _spawn(
        self, kind: Kind, name: str, command: list[str], environment: dict[str, str], log: pathlib.Path
    ) -> Child:
        with self._lock:
            if self._closed:
                raise ShutDownError("the local cloud is stopping")
            process = self._process(command, environment, log)
            child = Child(kind, name, process)
            self._running[process.pid] = child
            return child

    def _process(self, command: list[str], environment: dict[str, str], log: pathlib.Path) -> Process:
        with log.open("ab") as output:
            stands_in = command[1] == "-m" and command[2] in _STAND_INS
            if stands_in and self._forks.possible(command, environment):
                return self._forks.start_logged(command, environment, REPOSITORY_ROOT, output)
            return subprocess.Popen(
                [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=REPOSITORY_ROOT,
                start_new_session=True,
            )

    def _forget_at_end(self, child: Child) -> None:
        child.process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)  # what the program left running
        with self._lock:
            self._running.pop(child.process.pid, None)


def _watch_memory(child: Child, limit: int) -> None:
    """Kill the child at the limit, as the memory cgroup of a container does."""
    tick = threading.Event()
    while child.process.poll() is None:
        if resident_bytes(child.process.pid) > limit:
            child.out_of_memory = True
            child.signal(signal.SIGKILL)
            return
        tick.wait(_MEMORY_POLL_SECONDS)


def resident_bytes(pid: int) -> int:
    """Resident size of a process and all its descendants, from ``/proc``; 0 for one that has ended."""
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        children = [
            int(descendant)
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for descendant in (task / "children").read_text(encoding="ascii").split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident_bytes(descendant) for descendant in children)
