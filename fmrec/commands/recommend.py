"""``fmrec recommend USER``: print what the table serves for a user, known to the model or not."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from fmrec.commands.run import STORAGE_STACK, add_dataset_argument, dataset_of
from fmrec.errors import InputError
from fmrec.execution.step_functions import stack_outputs
from fmrec.recommendations.table import UserRecommendations, serve

TABLE_OUTPUT = "RecommendationsTable"
"""The storage stack's output that names the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="id of the user, as in the interactions")
    parser.add_argument(
        "--stack", default=STORAGE_STACK, help="name of the deployed storage stack (default: %(default)s)"
    )
    parser.add_argument("--table", help="name of the DynamoDB table (default: the one of the stack)")
    parser.add_argument(
        "--segment", help="the user's segment, for what to show if the model doesn't know the user"
    )
    add_dataset_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the recommendations and what they rest on; return 0."""
    table, dataset = arguments.table, dataset_of(arguments, {})
    if table is None:
        table, dataset = _of_stack(arguments)
    served = serve(table, arguments.user, arguments.segment, dataset=dataset)
    print(json.dumps(asdict(served), indent=2, ensure_ascii=False) if arguments.json else render(served))
    return 0


def render(served: UserRecommendations) -> str:
    """The recommendations as a table for a terminal."""
    width = max([len("item"), *(len(r.item_id) for r in served.recommendations)])
    lines = [
        f"user {served.user_id}: {len(served.recommendations)} recommendations, "
        f"from {served.basis}, model {served.model_version}, run {served.run}, {served.generated_at}",
        f"{'rank':>4}  {'item':<{width}}  {'score':>8}",
    ]
    lines += [f"{r.rank:>4}  {r.item_id:<{width}}  {r.score:>8.4f}" for r in served.recommendations]
    return "\n".join(lines)


def _of_stack(arguments: argparse.Namespace) -> tuple[str, str]:
    """The table and the name of the data set."""
    import boto3

    outputs = stack_outputs(boto3.client("cloudformation"), arguments.stack)
    if TABLE_OUTPUT not in outputs:
        raise InputError(
            f"stack {arguments.stack} has no output {TABLE_OUTPUT}, it has {', '.join(sorted(outputs)) or 'none'}; "
            "name the table with --table"
        )
    return outputs[TABLE_OUTPUT], dataset_of(arguments, outputs)
