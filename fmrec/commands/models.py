"""``fmrec models``, ``fmrec promote`` and ``fmrec rollback``: which models there are, and which one
serves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fmrec.commands.run import (
    PIPELINE_STACK,
    STORAGE_STACK,
    add_dataset_argument,
    add_execution_arguments,
    dataset_of,
    execute,
)
from fmrec.dataset.names import check_name
from fmrec.deployment.defaults import TASK, TASKS
from fmrec.errors import InputError
from fmrec.execution.step_functions import stack_outputs
from fmrec.registry import champion, model_registry, packages

BUCKET_OUTPUT = "DataBucket"

MEASURED = ("ndcg_at_10", "binary_classification_accuracy", "rmse")
"""The figure that stands for a model in the list: the first of these that was measured."""


@dataclass(frozen=True)
class Version:
    """A registered model."""

    version: int
    run: str
    status: str
    registered: str
    metric: str | None
    value: float | None
    serves: bool
    description: str
    arn: str


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task", choices=list(TASKS), default=TASK, help="whose models to list (default: %(default)s)"
    )
    parser.add_argument(
        "--limit",
        type=_positive,
        default=20,
        help="how many to list, the latest first (default: %(default)s)",
    )
    parser.add_argument(
        "--stack", default=PIPELINE_STACK, help="name of the deployed pipeline stack (default: %(default)s)"
    )
    parser.add_argument(
        "--storage-stack",
        default=STORAGE_STACK,
        help="name of the deployed storage stack, whose bucket says what serves (default: %(default)s)",
    )
    add_dataset_argument(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def run_models(arguments: argparse.Namespace) -> int:
    """Print the models; return 0."""
    import boto3

    cloudformation = boto3.client("cloudformation")
    deployed = _output(cloudformation, arguments.stack, packages.GROUP_OUTPUTS[arguments.task])
    name = dataset_of(arguments, stack_outputs(cloudformation, arguments.storage_stack))
    # Names of stacks' groups begin with the deployment's prefix, which has no hyphen.
    group = packages.group_name(deployed.partition("-")[0], arguments.task, name)
    bucket = _output(cloudformation, arguments.storage_stack, BUCKET_OUTPUT)
    serving = champion.recorded(champion.place(f"s3://{bucket}", name))
    found = [
        version(package, serving.model_version if serving else None)
        for package in model_registry.ModelRegistry(model_registry.connect()).latest(group, arguments.limit)
    ]
    if arguments.json:
        print(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
    elif found:
        print(render(found))
    else:
        print(f"No model is registered in {group} yet: a run registers its model when it has been judged.")
    return 0


def version(package: Mapping[str, Any], serving: str | None) -> Version:
    """What the list says of a described model package; `serving` is the model version that serves."""
    facts = package.get("CustomerMetadataProperties", {})
    metric = next((name for name in MEASURED if name in facts), None)
    return Version(
        version=int(package["ModelPackageVersion"]),
        run=facts.get("run", "-"),
        status=package["ModelApprovalStatus"],
        registered=package["CreationTime"].isoformat(sep=" ", timespec="seconds"),
        metric=metric,
        value=None if metric is None else float(facts[metric]),
        serves=serving is not None and facts.get("model_version") == serving,
        description=package.get("ApprovalDescription", ""),
        arn=package["ModelPackageArn"],
    )


def render(versions: Iterable[Version]) -> str:
    """The models as a table for a terminal."""
    heads = ("version", "run", "status", "measured", "registered", "")
    rows = [
        (
            str(each.version),
            each.run,
            each.status,
            "-" if each.value is None else f"{each.metric} {each.value:.4f}",
            each.registered,
            "serves" if each.serves else "",
        )
        for each in versions
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place == 0 else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    )


def add_promote_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="name of the run that trained it, or its version's number or ARN (`fmrec models` lists them)",
    )
    add_dataset_argument(parser)
    add_execution_arguments(parser)


def run_promote(arguments: argparse.Namespace) -> int:
    """Return 0 if the model serves, 1 if it couldn't be made to."""
    return execute(arguments, {"promote": arguments.model, **_named(arguments)})


def add_rollback_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset_argument(parser)
    add_execution_arguments(parser)


def run_rollback(arguments: argparse.Namespace) -> int:
    """Return 0 if the model before serves, 1 if it couldn't be made to."""
    return execute(arguments, {"rollback": True, **_named(arguments)})


def _named(arguments: argparse.Namespace) -> dict[str, str]:
    """The part of an input that names the data set; the deployed one needs none."""
    return {} if arguments.dataset is None else {"name": check_name(arguments.dataset)}


def _output(cloudformation: Any, stack: str, name: str) -> str:
    outputs = stack_outputs(cloudformation, stack)
    if name not in outputs:
        raise InputError(
            f"stack {stack} has no output {name}, it has {', '.join(sorted(outputs)) or 'none'}: deploy this "
            "version of the app, or name another stack"
        )
    return outputs[name]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer above 0")
    return int(text)
