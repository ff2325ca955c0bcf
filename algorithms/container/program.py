"""The command line that every image answers: ``train`` and ``serve``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from algorithms.container import log
from algorithms.container.environment import Environment
from algorithms.container.failures import classify, write_failure


def main(
    algorithm: str,
    train: Callable[[Environment], None],
    serve: Callable[[Path, str, int], None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run one of the two commands and return the exit code: 0, or 1, 2 or 3 (see ``failures``)."""
    parser = argparse.ArgumentParser(
        prog=f"python -m algorithms.{algorithm}",
        description=f"SageMaker's {algorithm} image, stood in for: the same folders, logs and HTTP.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("train", "train a model from input/ into model/"),
        ("serve", "answer HTTP from model/"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--root", type=Path, required=True, help="a folder shaped like /opt/ml")
        if name == "serve":
            command.add_argument("--host", default="127.0.0.1", help="address to listen on")
            command.add_argument("--port", type=int, default=8080, help="port to listen on")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    if options.command == "serve":
        serve(options.root, options.host, options.port)
        return 0
    return _run_training(options.root, train)


def _run_training(root: Path, train: Callable[[Environment], None]) -> int:
    log.say("Docker entrypoint called with argument(s): train")
    log.say("Running default environment configuration script")
    try:
        train(Environment.load(root))
    except Exception as error:
        code, text = classify(error)
        traceback.print_exc(file=sys.stdout)
        log.info(text, level="ERROR")
        write_failure(root, text)
        return code
    return 0


def _stop(signal_number: int, frame: FrameType | None) -> None:
    """End at once: SageMaker stops a container with SIGTERM, which process 1 would otherwise ignore.

    Not by an exception: threads in compiled code would be waited for, and they for the main thread.
    """
    log.last_words(f"Received {signal.Signals(signal_number).name}. Exiting.")
    os._exit(128 + signal_number)
