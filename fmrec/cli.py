"""The ``fmrec`` command line. Each command's module is imported only when that command is called."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from fmrec.errors import FmrecError

EXTRAS = {"pyspark": "spark", "pyarrow": "aws", "boto3": "aws", "botocore": "aws", "scipy": "scipy"}
"""Package → the extra of this distribution that brings it."""

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


@dataclass(frozen=True)
class Command:
    """Where a command lives: a module with functions that declare its arguments and run it."""

    help: str
    module: str
    add_arguments: str = "add_arguments"
    run: str = "run"


COMMANDS = {
    "inspect": Command("look at files and write the data set document that describes them, or check one", "fmrec.inspection.command"),
    "encode": Command("encode interactions to recordIO-protobuf on this machine, as the Glue job does", "fmrec.encoding.encode_command"),
    "plan": Command("print the instances each step would use, why, and what they cost", "fmrec.commands.plan", "add_plan_arguments", "run_plan"),
    "quotas": Command("show what quotas the account has against what the settings need", "fmrec.commands.plan", "add_quotas_arguments", "run_quotas"),
    "run": Command("start the deployed workflow and follow it", "fmrec.commands.run"),
    "status": Command("say how the deployment stands: last runs, what serves, its quality and cost, what is wrong", "fmrec.commands.operate", "add_status_arguments", "run_status"),
    "endpoints": Command("list the endpoints that run: since when, calls, cost a month; or stop one", "fmrec.commands.operate", "add_endpoints_arguments", "run_endpoints"),
    "models": Command("list the registered models: run, approval, what was measured, and which one serves", "fmrec.commands.models", "add_models_arguments", "run_models"),
    "promote": Command("make a registered model serve, and follow the workflow that does it", "fmrec.commands.models", "add_promote_arguments", "run_promote"),
    "rollback": Command("make the model that served before serve again, and follow the workflow that does it", "fmrec.commands.models", "add_rollback_arguments", "run_rollback"),
    "recommend": Command("print a user's recommendations as the table serves them", "fmrec.commands.recommend"),
    "predict": Command("ask the scoring endpoint whether a user will like items", "fmrec.commands.predict"),
    "explore": Command("serve a page on this machine that shows what the HTTP API answers, and why", "fmrec.explore.command"),
    "verify": Command("deploy to the account of the environment, settle what the documentation marks as unconfirmed, and remove it all", "fmrec.commands.verify"),
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed, 2 unusable input, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # Half of a surrogate pair is valid JSON, and no character that could be printed.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    name = arguments[0] if arguments else ""
    try:
        return _run(arguments)
    except FmrecError as error:
        print(f"fmrec {name}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if missing not in EXTRAS:
            print(f"fmrec {name}: {_unexpected(error)}", file=sys.stderr)
            return EXIT_FAILED
        extra = "spark" if name == "encode" else EXTRAS[missing]
        print(f"fmrec {name}: {missing} is not installed: pip install 'fmrec[{extra}]'", file=sys.stderr)
        return EXIT_USAGE


def _unexpected(error: Exception) -> str:
    """A sentence for an error that nobody foresaw, whose details go into a file."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    reason = next(iter(str(error).splitlines()), "")[:300]
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            prefix="fmrec-error-",
            suffix=".txt",
            delete=False,
        ) as file:
            file.writelines(traceback.format_exception(error))
    except OSError as failed:
        return f"it failed unexpectedly ({kind}: {reason}), and the details could not be written: {failed}"
    return f"it failed unexpectedly ({kind}: {reason}); the details were written to {file.name}"


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="fmrec", description="Raw interactions to top-N recommendations with SageMaker."
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # The parser of the command that is named; all where help lists them. Each takes half a millisecond.
    named = [name for name in arguments[:1] if name in COMMANDS]
    for name in named or COMMANDS:
        command = COMMANDS[name]
        subparser = subparsers.add_parser(
            name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}."
        )
        if named:
            module = importlib.import_module(command.module)
            getattr(module, command.add_arguments)(subparser)
    parsed = parser.parse_args(arguments)
    command = COMMANDS[parsed.command]
    code: int = getattr(importlib.import_module(command.module), command.run)(parsed)
    return code
