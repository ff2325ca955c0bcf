"""``fmrec predict USER ITEM …``: ask the scoring endpoint whether a user will like items."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from fmrec.commands.run import STORAGE_STACK, add_dataset_argument, dataset_of
from fmrec.errors import InputError
from fmrec.execution.step_functions import stack_outputs
from fmrec.predictions.pairs import Prediction, predict
from fmrec.predictions.served_model import Served, place, read

BUCKET_OUTPUT = "DataBucket"
"""The storage stack's output that names the data bucket."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="id of the user, as in the interactions")
    parser.add_argument("items", metavar="ITEM", nargs="+", help="ids of items, as in the interactions")
    parser.add_argument(
        "--stack", default=STORAGE_STACK, help="name of the deployed storage stack (default: %(default)s)"
    )
    add_dataset_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print a score, a probability and a yes or no for each item; return 0."""
    served = read(_record_of(arguments))
    predictions = predict(served, arguments.user, arguments.items)
    if arguments.json:
        document = {"model_version": served.model_version, "predictions": [asdict(p) for p in predictions]}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print(render(served, predictions))
    return 0


def render(served: Served, predictions: Sequence[Prediction]) -> str:
    """The predictions as a table for a terminal."""
    width = max([len("item"), *(len(p.item_id) for p in predictions)])
    lines = [
        f"user {predictions[0].user_id}, model {served.model_version}, endpoint {served.endpoint_name}",
        f"{'item':<{width}}  {'score':>8}  {'probability':>11}  likes it",
    ]
    for p in predictions:
        probability = "unknown" if p.probability is None else f"{p.probability:.4f}"
        lines.append(f"{p.item_id:<{width}}  {p.score:>8.4f}  {probability:>11}  {'yes' if p.yes else 'no'}")
    return "\n".join(lines)


def _record_of(arguments: argparse.Namespace) -> str:
    """Where it is recorded what the data set's endpoint answers with."""
    import boto3

    outputs = stack_outputs(boto3.client("cloudformation"), arguments.stack)
    if BUCKET_OUTPUT not in outputs:
        raise InputError(
            f"stack {arguments.stack} has no output {BUCKET_OUTPUT}, it has {', '.join(sorted(outputs)) or 'none'}: name "
            "the storage stack with --stack"
        )
    return place(f"s3://{outputs[BUCKET_OUTPUT]}", dataset_of(arguments, outputs))
