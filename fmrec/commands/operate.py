"""``fmrec status`` and ``fmrec endpoints``: how a deployment stands, and which endpoints it pays for."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

from fmrec.artifacts import layout
from fmrec.commands.run import PIPELINE_STACK, STORAGE_STACK, add_dataset_argument, dataset_of
from fmrec.execution.step_functions import stack_outputs
from fmrec.instances.cache import Cache
from fmrec.instances.catalogue import Prices, table_prices
from fmrec.operation import endpoints, revival, status
from fmrec.operation.start_step import read_memory
from fmrec.registry import champion

OLDEST_PRICES_SECONDS = 90 * 24 * 3600
RUNS = 10


def add_status_arguments(parser: argparse.ArgumentParser) -> None:
    _add_stacks(parser)
    add_dataset_argument(parser)
    parser.add_argument(
        "--runs",
        type=int,
        default=RUNS,
        help="how many runs to list, the latest first (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def add_endpoints_arguments(parser: argparse.ArgumentParser) -> None:
    _add_stacks(parser)
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--stop", metavar="NAME", help="delete this endpoint; the next run makes it again")
    change.add_argument(
        "--start",
        metavar="NAME",
        help="make a deleted endpoint again, of the model that serves, and wait for it",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def run_status(arguments: argparse.Namespace) -> int:
    """Print how the deployment stands; return 0 if nothing is wrong, 1 otherwise."""
    import boto3

    session = boto3.Session()
    deployed = _Deployed(arguments, session)
    name = dataset_of(arguments, deployed.outputs)
    serving = champion.recorded(champion.place(f"s3://{deployed.bucket}", name))
    found = status.Status(
        dataset=name,
        now=datetime.now(UTC),
        runs=status.last_runs(
            session.client("stepfunctions"),
            deployed.outputs["StateMachineArn"],
            deployed.bucket,
            max(1, min(arguments.runs, 1000)),
        ),
        champion=serving,
        champion_report=status.read_report(deployed.bucket, serving.run) if serving else None,
        endpoints=deployed.endpoints(),
        starter=read_memory(deployed.outputs["LocksTable"], name, session.client("dynamodb")),
        alarms=status.alarms(session.client("cloudwatch"), arguments.stack),
    )
    if arguments.json:
        print(json.dumps(found.to_document(), indent=2, ensure_ascii=False))
    else:
        print(status.render(found))
    return 1 if found.wrong() else 0


def run_endpoints(arguments: argparse.Namespace) -> int:
    """Print the endpoints, or stop or start one; return 0."""
    import boto3

    session = boto3.Session()
    deployed = _Deployed(arguments, session)
    if arguments.stop:
        endpoints.stop(session.client("sagemaker"), deployed.prefix, arguments.stop)
        print(f"Deleting the endpoint {arguments.stop}; the next run that wants it makes it again.")
        return 0
    if arguments.start:
        config = revival.start(
            session.client("sagemaker"),
            session.client("application-autoscaling"),
            deployed.prefix,
            deployed.bucket,
            arguments.start,
        )
        print(f"The endpoint {arguments.start} is in service, with the configuration {config}.")
        return 0
    found = deployed.endpoints()
    if arguments.json:
        print(json.dumps([each.to_document() for each in found], indent=2))
    else:
        print(endpoints.render(found))
    return 0


class _Deployed:
    """The deployment that the arguments name."""

    def __init__(self, arguments: argparse.Namespace, session: Any) -> None:
        cloudformation = session.client("cloudformation")
        self._session = session
        self.outputs = stack_outputs(cloudformation, arguments.storage_stack) | stack_outputs(
            cloudformation, arguments.stack
        )
        self.bucket = self.outputs["DataBucket"]
        # Endpoints' names begin with the deployment's prefix, which has no hyphen.
        self.prefix = self.outputs["EndpointName"].partition("-")[0]

    def endpoints(self) -> list[endpoints.Endpoint]:
        return endpoints.endpoints(
            self._session.client("sagemaker"), self._session.client("cloudwatch"), self.prefix, self._prices()
        )

    def _prices(self) -> Prices:
        """Those that the last run has read, or the built-in table's."""
        region = self._session.client("sagemaker").meta.region_name
        kept = Cache.read(f"s3://{self.bucket}/{layout.ACCOUNT_CACHE}", region).prices(OLDEST_PRICES_SECONDS)
        return kept or table_prices(region)


def _add_stacks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stack", default=PIPELINE_STACK, help="name of the deployed pipeline stack (default: %(default)s)"
    )
    parser.add_argument(
        "--storage-stack",
        default=STORAGE_STACK,
        help="name of the deployed storage stack (default: %(default)s)",
    )
