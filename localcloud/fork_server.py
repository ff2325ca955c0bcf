"""A process that has imported what the programs forked from it import; it starts them on request.

``python fork_server.py SOCKET DOOR MODULE … -- SERVICE …`` with the number of an open socket; the path of a
socket to make, on which others may ask as well, or nothing; and AWS services that programs will have clients
of. A request is a JSON document and four open files: the program's standard input, output and error, and
where its process id and then its wait status are written to, four bytes each. A program runs as the
interpreter would run it; the process ends with its first socket, and on Linux the kernel then kills what it
has forked.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_LARGEST_REQUEST = 1 << 20
_FILES = 4


def main(arguments: list[str]) -> None:
    """Import the modules, then fork until the socket is closed; in a fork, run its program."""
    del sys.path[0]  # this file's folder
    control = socket.socket(fileno=int(arguments[0]))
    end = arguments.index("--")
    for module in arguments[2:end]:
        with contextlib.suppress(ImportError):  # the program that needs it says so
            importlib.import_module(module)
    if services := arguments[end + 1 :]:
        _read_once_for(services)
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, all that forks share
    request = _fork_on_request(control, _door(Path(arguments[1])) if arguments[1] else None)
    if request is not None:
        _end(_exit_status(request))


def _read_once_for(services: list[str]) -> None:
    """Have botocore's descriptions of services, and of how to reach them, in memory.

    Each session reads them anew, for a tenth of a second of a processor, and looks what there is in the
    folders of hundreds of services.
    """
    from boto3.session import Session  # which looks in one folder more than botocore's does
    from botocore.loaders import JSONFileLoader, Loader

    read, known = JSONFileLoader.load_file, dict[str, Any]()
    look, found_services = Loader.list_available_services, dict[tuple[str, ...], list[str]]()

    def list_available_services(self: Any, type_name: str) -> list[str]:
        key = (type_name, *self.search_paths)
        if key not in found_services:
            found_services[key] = look(self, type_name)
        return found_services[key]

    def load_file(self: Any, file_path: str) -> Any:
        if file_path not in known:
            found = read(self, file_path)
            if found is None:  # there is no such file yet
                return None
            known[file_path] = found
        return known[file_path]

    JSONFileLoader.load_file = load_file
    Loader.list_available_services = list_available_services
    session = Session()
    for service in services:
        session.client(service, "us-east-1", aws_access_key_id="-", aws_secret_access_key="-")  # noqa: S106 - of nobody


def _door(path: Path) -> socket.socket:
    """A socket on which who may write to the file can ask: a connection for each request."""
    path.unlink(missing_ok=True)
    os.chdir(path.parent)  # the kernel takes short names only
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(path.name)
    door.listen()
    return door


def _fork_on_request(control: socket.socket, door: socket.socket | None) -> dict[str, Any] | None:
    """Return the request in each fork, and None at the end."""
    reports: dict[int, int] = {}
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    asked = [control] if door is None else [control, door]
    while True:
        ready, _, _ = select.select([woken, *(each.fileno() for each in asked)], [], [])
        if woken in ready:
            os.read(woken, 1 << 10)
            _report_ended(reports)
        if control.fileno() in ready:
            content, files, _, _ = socket.recv_fds(control, _LARGEST_REQUEST, _FILES)
            if not content:
                return None
        elif door is not None and door.fileno() in ready:
            with door.accept()[0] as connection:
                content, files, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST, _FILES)
            if not content:
                continue
        else:
            continue
        server, pid = os.getpid(), os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (woken, waker, files[3], *reports.values()):
                os.close(descriptor)
            for each in asked:
                each.close()
            _be_child_of(server, files[:3])
            return dict(json.loads(content))
        reports[pid] = files[3]
        for descriptor in files[:3]:
            os.close(descriptor)
        _report(files[3], pid)


def _be_child_of(server: int, files: list[int]) -> None:
    """Lead a process group, have these standard files, and end with the server."""
    os.setpgid(0, 0)
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)


def _report_ended(reports: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            pid, status = found
            report = reports.pop(pid)
            _report(report, status)
            os.close(report)


def _report(descriptor: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(descriptor, struct.pack("=i", number))


def _run(request: dict[str, Any]) -> None:
    """Run ``-m module`` or a file with its arguments, as ``__main__``."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    program, *arguments = request["program"]
    sys.path[:0] = [
        part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part not in sys.path
    ]
    if program == "-m":
        sys.path.insert(0, request["folder"])
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(program).parent))
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")


def _exit_status(request: dict[str, Any]) -> int:
    """Run a program, and return what the interpreter ends with after it."""
    try:
        _run(request)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except Exception:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(status: int) -> None:
    """End as the interpreter does, but for freeing all that forks share, which takes longer than many a
    program: wait for threads, run what was registered, write what files still hold.
    """
    threading._shutdown()  # type: ignore[attr-defined] # as multiprocessing does in its forks
    atexit._run_exitfuncs()
    for each in gc.get_objects():
        if issubclass(type(each), io.IOBase):
            with contextlib.suppress(OSError, ValueError):
                each.flush()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    main(sys.argv[1:])
