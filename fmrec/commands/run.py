"""``fmrec run``: start an execution of the deployed workflow and follow it to its end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from fmrec.dataset.names import DEFAULT, check_name
from fmrec.errors import FmrecError, InputError
from fmrec.execution.execution_input import check_ensemble
from fmrec.execution.progress import Progress
from fmrec.execution.run_report import page_uri
from fmrec.execution.step_functions import follow, stack_outputs, start
from fmrec.reporting.run_summary import summary
from fmrec.storage import object_store

PIPELINE_STACK, STORAGE_STACK = "FmRecPipeline", "FmRecStorage"
DATASET_OUTPUT = "DatasetName"
"""The storage stack's output that names the data set of runs whose input names none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input",
        default="{}",
        help="execution input: JSON text, or a file that holds it (default: {}, the deployed defaults)",
    )
    parser.add_argument(
        "--replace-catalogue",
        action="store_true",
        help="let the run replace what the data set serves also where its data is of another catalogue",
    )
    parser.add_argument(
        "--ensemble", type=int, metavar="S", help="train S models for one index (as the input's 'ensemble')"
    )
    add_execution_arguments(parser)


def add_execution_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command takes that starts an execution and follows it."""
    parser.add_argument(
        "--name", help="name of the execution: letters, digits and hyphens, at most 40 (default: a UUID)"
    )
    parser.add_argument(
        "--stack", default=PIPELINE_STACK, help="name of the deployed pipeline stack (default: %(default)s)"
    )
    parser.add_argument(
        "--logs", action="store_true", help="also print the log lines of the jobs that the workflow starts"
    )
    parser.add_argument("--no-follow", action="store_true", help="start it, print its ARN and return")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the execution's output as JSON, and progress on standard error",
    )


def add_dataset_argument(parser: argparse.ArgumentParser) -> None:
    """Whose lists, models and champion a command is about."""
    parser.add_argument("--dataset", metavar="NAME", help="name of the data set (default: the deployed one)")


def dataset_of(arguments: argparse.Namespace, storage_outputs: Mapping[str, str]) -> str:
    """The data set's name: as given, or as deployed."""
    return check_name(arguments.dataset or storage_outputs.get(DATASET_OUTPUT, DEFAULT))


def run(arguments: argparse.Namespace) -> int:
    """Return 0 if the execution succeeded, 1 if not."""
    given = read_input(arguments.input)
    if arguments.replace_catalogue:
        given["replace_catalogue"] = True
    if arguments.ensemble is not None:
        given["ensemble"] = check_ensemble(arguments.ensemble, "--ensemble")
    return execute(arguments, given)


def execute(arguments: argparse.Namespace, execution_input: dict[str, Any]) -> int:
    """Start an execution and follow it; return 0 if it succeeded, 1 if not."""
    import boto3

    session = boto3.Session()
    state_machine = stack_outputs(session.client("cloudformation"), arguments.stack)["StateMachineArn"]
    client = session.client("stepfunctions")
    arn = start(client, state_machine, execution_input, arguments.name)
    print(arn, file=sys.stderr if arguments.json else sys.stdout)
    if arguments.no_follow:
        return 0
    progress = Progress(
        sys.stderr if arguments.json else sys.stdout, session.client("logs") if arguments.logs else None
    )
    execution = follow(client, arn, progress.changed, progress.tick)
    progress.close()
    if execution.status != "SUCCEEDED":
        print(f"{execution.status}: {execution.error}: {execution.cause}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(execution.output, indent=2))
        return 0
    print(f"SUCCEEDED in {execution.seconds:.0f} s")
    print("\n".join(verdict(execution.output or {})))
    return 0


def verdict(output: Mapping[str, Any]) -> list[str]:
    """What a run that succeeded brought about: by its report or, where that can't be read, its output."""
    uri = output.get("report", "")
    try:
        document = json.loads(object_store.read_text(uri))
        return summary(document, uri, page_uri(uri))
    except FmrecError as error:
        sentence = (output.get("verdict") or {}).get("sentence", "")
        return [*([f"  {sentence}"] if sentence else []), f"  The report can't be read: {error}"]


def read_input(text: str) -> dict[str, Any]:
    """Parse ``--input``: a JSON object, or the path of a file with one."""
    if not text.lstrip().startswith("{"):
        if "://" in text or not object_store.exists(text):
            raise InputError(f"--input {text[:500]!r} is neither a JSON object nor a file")
        return object_store.read_json_object(text)
    try:
        value: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"--input is not JSON: {error}") from error
    return value
