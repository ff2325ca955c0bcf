"""``fmrec explore``: serve the page on this machine until it is interrupted."""

from __future__ import annotations

import argparse
import signal
import webbrowser
from collections.abc import Callable
from pathlib import Path

from fmrec.client import Client
from fmrec.errors import InputError
from fmrec.execution.step_functions import stack_outputs
from fmrec.explore.routes import Routes
from fmrec.explore.server import Server
from fmrec.live.item_names import ItemNames

API_STACK, URL_OUTPUT = "FmRecApi", "ApiUrl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stack", default=API_STACK, help="name of the deployed API's stack (default: %(default)s)"
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


def run(arguments: argparse.Namespace) -> int:
    """Print the page's address and serve it; return 0 when interrupted or terminated."""
    columns = [name for name in arguments.names_columns.split(",") if name]
    if columns and arguments.names is None:
        raise InputError("--names-columns names fields of a file: name the file with --names")
    names = ItemNames() if arguments.names is None else ItemNames.read(arguments.names, columns)
    url = arguments.url or _api_url(arguments.stack, arguments.region)
    token = None if arguments.token_file is None else _token(arguments.token_file)
    client = Client(url, region=arguments.region, token=token)
    with Server(Routes(client, names, arguments.store_clicks), arguments.port) as server:
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


def _api_url(stack: str, region: str | None) -> str:
    import boto3

    try:
        outputs = stack_outputs(boto3.client("cloudformation", region_name=region), stack)
    except InputError as error:
        raise InputError(
            f"the API is not deployed: `cdk deploy --all -c fmrec.api={{}}` deploys it, or name its stack with "
            f"--stack or its URL with --url ({error})"
        ) from error
    if URL_OUTPUT not in outputs:
        raise InputError(
            f"stack {stack} has no output {URL_OUTPUT}: it has {', '.join(sorted(outputs)) or 'none'}"
        )
    return outputs[URL_OUTPUT]
