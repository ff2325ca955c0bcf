"""``python -m demo``: what `make demo`, `make demo-up` and `make demo-down` call."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import NoReturn

from demo.cloud import stop
from demo.explored import end_exploring
from demo.run import STATE, run
from fmrec.errors import FmrecError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="Take MovieLens 100k to top-N through a real cdk deploy into a local cloud.",
    )
    parser.add_argument(
        "--quotas",
        default="new-account",
        help="quota preset or JSON file of the local account (default: %(default)s)",
    )
    parser.add_argument("--logs", action="store_true", help="also print the jobs' log lines")
    parser.add_argument("--keep-running", action="store_true", help="leave the local cloud running")
    parser.add_argument(
        "--down", action="store_true", help="stop the local cloud that was left running, and do nothing else"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        end_exploring(STATE)
        stop(STATE)
        if arguments.down:
            return 0
        return run(arguments.quotas, arguments.keep_running, arguments.logs)
    except FmrecError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; the local cloud is stopped", file=sys.stderr)
        return 130


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
