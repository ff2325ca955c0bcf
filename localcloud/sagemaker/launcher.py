"""Become a program that dies when the server that started it dies.

Run as a file, ``python -I -S launcher.py <server's pid> program arguments…``, between fork and exec of
every child: code of our own may not run in a fork of a process with threads, so it runs here.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask the kernel for SIGKILL at the parent's death (Linux), then exec the program."""
    server, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it died before the request to the kernel
            raise SystemExit(1)
    os.execvp(program[0], program)  # noqa: S606 - an argument list, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
