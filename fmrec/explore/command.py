"""``fmrec explore``: serve the page on this machine until it is interrupted."""

from __future__ import annotations

import argparse
import signal
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fmrec.client import Client
from fmrec.commands.run import STORAGE_STACK, add_dataset_argument, dataset_of
from fmrec.errors import InputError
from fmrec.execution.state_machine import stack_outputs
from fmrec.explore.deployment import Deployment
from fmrec.explore.item_names import ItemNames
from fmrec.explore.routes import Routes
from fmrec.explore.server import Server

API_STACK, URL_OUTPUT, BUCKET_OUTPUT = "FmRecApi", "ApiUrl", "DataBucket"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stack", default=API_STACK, help="name of the deployed API's stack (default: %(default)s)"
    )
    parser.add_argument(
        "--storage-stack",
        default=STORAGE_STACK,
        help="name of the deployed storage stack, whose bucket has quality and cost (default: %(default)s)",
    )
    parser.add_argument("--url", help="the API's URL (default: the one of the stack)")
    parser.add_argument("--region", help="the API's Region (default: that of the environment)")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the token of an API with the setting api.jwt, read for each request",
    )
    parser.add_argument("--names", type=Path, metavar="FILE", help="CSV file with names of items")
    parser.add_argument(
        "--names-columns",
        metavar="ID,NAME[,MORE]",
        default="",
        help="its fields with the id, the name and what is shown below the name (default: the first two)",
    )
    parser.add_argument(
        "--store-clicks",
        action="store_true",
        help="post clicks of a named user as events, which the next run learns from",
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_dataset_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the page's address and serve it; return 0 when interrupted or terminated."""
    columns = [name for name in arguments.names_columns.split(",") if name]
    if columns and arguments.names is None:
        raise InputError("--names-columns names fields of a file: name the file with --names")
    names = ItemNames() if arguments.names is None else ItemNames.read(arguments.names, columns)
    url, deployment = _asked(arguments)
    token = None if arguments.token_file is None else _token(arguments.token_file)
    client = Client(url, region=arguments.region, token=token)
    with Server(Routes(client, deployment, names, arguments.store_clicks), arguments.port) as server:
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            print(f"{server.url}\nCtrl-C ends it.", flush=True)
            if arguments.open:
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _token(path: Path) -> Callable[[], str]:
    """What reads the token whenever it is asked for one: tokens live for minutes or hours."""

    def read() -> str:
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the token in {path} can't be read: {error}") from error
        if not token or not token.isprintable():
            raise InputError(f"{path} holds no token: expected one line of text")
        return token

    read()
    return read


def _asked(arguments: argparse.Namespace) -> tuple[str, Deployment]:
    """The API's URL, and the deployment whose API it is."""
    import boto3
    from botocore.exceptions import BotoCoreError

    if arguments.url:
        # Who has the URL and a token may have no AWS credentials at all.
        try:
            cloudformation = boto3.client("cloudformation", region_name=arguments.region)
            return arguments.url, _deployment(cloudformation, arguments)
        except (InputError, BotoCoreError) as error:
            return arguments.url, Deployment(dataset_of(arguments, {}), why=str(error))
    cloudformation = boto3.client("cloudformation", region_name=arguments.region)
    return _api_url(cloudformation, arguments.stack), _deployment(cloudformation, arguments)


def _deployment(cloudformation: Any, arguments: argparse.Namespace) -> Deployment:
    storage = stack_outputs(cloudformation, arguments.storage_stack)
    if BUCKET_OUTPUT not in storage:
        raise InputError(f"stack {arguments.storage_stack} has no output {BUCKET_OUTPUT}{_others(storage)}")
    return Deployment(dataset_of(arguments, storage), storage[BUCKET_OUTPUT])


def _api_url(cloudformation: Any, stack: str) -> str:
    try:
        outputs = stack_outputs(cloudformation, stack)
    except InputError as error:
        raise InputError(
            f"the API is not deployed: `cdk deploy --all -c fmrec.api={{}}` deploys it, or name its stack with "
            f"--stack or its URL with --url ({error})"
        ) from error
    if URL_OUTPUT not in outputs:
        raise InputError(f"stack {stack} has no output {URL_OUTPUT}{_others(outputs)}")
    return outputs[URL_OUTPUT]


def _others(outputs: Mapping[str, str]) -> str:
    return f": it has {', '.join(sorted(outputs)) or 'none'}"
