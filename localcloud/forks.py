"""Python programs as forks of a process that has imported what they import (``fork_server``).

A stand-in for a container, or a function's process, spends half a second of a processor on importing NumPy,
Numba, boto3 and the like, more than on its work with small data. Only on Linux: elsewhere forking is not safe
once such libraries are loaded, and every program is started by an interpreter of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_SERVER = str(Path(__file__).with_name("fork_server.py"))
_READ_AT_IMPORT = ("OMP_", "OPENBLAS_", "MKL_", "NUMBA_", "PYTHON")
"""Beginnings of environment variables that the interpreter and libraries read once."""
_MAY_DIFFER = ("PYTHONPATH", "PYTHONUNBUFFERED")


class _ServerEndedError(OSError):
    pass


class Fork:
    """A running program, used as a ``subprocess.Popen`` is."""

    def __init__(self, command: Sequence[str], report: int) -> None:
        self.args = list(command)
        self.returncode: int | None = None
        self.stdin: IO[Any] | None = None
        self.stdout: IO[Any] | None = None
        self.stderr: IO[Any] | None = None
        self._report = open(report, "rb", buffering=0)  # noqa: SIM115 - closed by the thread that reads it
        self._ended = threading.Event()
        pid = self._next()
        if pid is None:
            self._report.close()
            raise _ServerEndedError("the process that programs are forked from has ended")
        self.pid = pid
        threading.Thread(target=self._wait_for_status, daemon=True, name=f"fork-{pid}").start()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code.

        Raises
        ------
        subprocess.TimeoutExpired
            It still runs after ``timeout`` seconds.
        """
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        code = self.returncode
        assert code is not None  # noqa: S101 - set before the event
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _wait_for_status(self) -> None:
        status = self._next()
        self._report.close()
        # The process that would have told has been killed, and the kernel then kills this one.
        self.returncode = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
        self._ended.set()

    def _next(self) -> int | None:
        found = self._report.read(4)
        return None if len(found or b"") < 4 else int(struct.unpack("=i", found)[0])


Process = subprocess.Popen[bytes] | Fork


class Forks:
    """Programs whose imports are mostly the same; safe to use from any thread.

    Parameters
    ----------
    modules
        What to import, when the first program is started.
    python_path
        Entries of the Python path next to the installed packages.
    services
        AWS services that they have boto3's clients of.
    door
        A file to make, the socket on which other processes may ask for programs (``fork_server``).
    """

    def __init__(
        self,
        modules: Sequence[str],
        python_path: Sequence[str] = (),
        services: Sequence[str] = (),
        door: Path | None = None,
    ) -> None:
        self.door = door
        self._arguments = [str(door or ""), *modules, "--", *services]
        self._python_path = python_path
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._closed = False

    @staticmethod
    def possible(command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether the program can be a fork: it runs on this interpreter, and with this process's settings
        of it and of libraries.
        """
        return (
            sys.platform == "linux"
            and command[0] == sys.executable
            and (command[1] == "-m" or not command[1].startswith("-"))
            and all(
                os.environ.get(name) == value
                for name, value in environment.items()
                if name.startswith(_READ_AT_IMPORT) and name not in _MAY_DIFFER
            )
        )

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str | Path,
        files: tuple[int, int, int],
    ) -> Fork:
        """Start ``command``, which is ``possible``, as the leader of a process group.

        Parameters
        ----------
        environment
            All of its environment variables.
        files
            Its standard input, output and error.

        Raises
        ------
        OSError
            It can't be started, or ``close`` was called.
        """
        program = {"program": command[1:], "environment": dict(environment), "folder": str(folder)}
        request = json.dumps(program).encode()
        try:
            return self._forked(command, request, files)
        except (BrokenPipeError, _ServerEndedError):
            # It has been killed: until it has ended, `poll` says that it runs, though its files are closed.
            if self._server is not None:
                self._server.wait()
            return self._forked(command, request, files)

    def _forked(self, command: Sequence[str], request: bytes, files: tuple[int, int, int]) -> Fork:
        mine, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._connected(), [request], [*files, theirs])
        except BaseException:
            os.close(mine)
            raise
        finally:
            os.close(theirs)
        return Fork(command, mine)

    def start_logged(
        self, command: Sequence[str], environment: Mapping[str, str], folder: str | Path, log: IO[bytes]
    ) -> Fork:
        """Start ``command`` without input, its output and errors going to an open file."""
        with Path(os.devnull).open("rb") as nothing:
            return self.start(command, environment, folder, (nothing.fileno(), log.fileno(), log.fileno()))

    def begin(self) -> None:
        """Start the process that programs are forked from, before the first is asked for."""
        with self._lock:
            self._connected()

    def close(self) -> None:
        """End the process, and with it every program that still runs."""
        with self._lock:
            self._closed = True
            if self._control is not None and self._server is not None:
                self._control.close()
                self._server.kill()
                self._server.wait()

    def _connected(self) -> socket.socket:
        if self._closed:
            raise OSError("programs are forked no more")
        if self._server is None or self._control is None or self._server.poll() is not None:
            if self._control is not None:
                self._control.close()
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._server = subprocess.Popen(
                    [sys.executable, _SERVER, str(theirs.fileno()), *self._arguments],
                    stdin=subprocess.DEVNULL,
                    env=os.environ
                    | {
                        "PYTHONPATH": os.pathsep.join(self._python_path),
                        "PYTHONUNBUFFERED": "1",
                        "PYTHONHASHSEED": "0",  # of PySpark's workers, each of which must have the same
                    },
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        return self._control
