"""Start, stop and ask after a local cloud from the command line."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localcloud.home import DEFAULT_REGION, MARK, Home, LocalCloudError, Record, client_environment
from localcloud.hooks.persistence import what_was_lost
from localcloud.processes import alive, end_marked, marked, signal_all, wait_for_end

REPOSITORY = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0
DEFAULT_WAIT_SCALE = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except LocalCloudError as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localcloud",
        description="AWS on this machine: S3, CloudFormation, Lambda, Step Functions, Glue on local Spark, "
        "SageMaker and more behind one port, with everything it keeps in one folder.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument(
            "--state", required=True, type=Home.at, metavar="DIR", help="the folder it lives in"
        )
        added.set_defaults(run=run)
        return added

    start_parser = command("start", start, "Start a local cloud and return when it answers.")
    serve_parser = command("serve", serve, "Serve in the foreground until SIGTERM or SIGINT.")
    for added in (start_parser, serve_parser):
        added.add_argument("--port", type=int, help="the port to answer on; a free one by default")
        added.add_argument(
            "--quotas",
            default="large",
            metavar="FILE|PRESET",
            help="SageMaker quotas: a JSON file of quota name and value, or a preset "
            "(new-account, small, large; default %(default)s)",
        )
        added.add_argument(
            "--region",
            default=os.environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION,
            help="default: AWS_DEFAULT_REGION, or us-east-1; now %(default)s",
        )
        added.add_argument(
            "--wait-scale",
            type=float,
            default=DEFAULT_WAIT_SCALE,
            metavar="FACTOR",
            help="factor on Step Functions' waits and retry delays, since jobs that take minutes on AWS "
            "take seconds here (default %(default)s)",
        )
        added.add_argument(
            "--owner", type=int, metavar="PID", help="stop when this process ends, and keep state only then"
        )
        added.add_argument(
            "--warm-up",
            action="store_true",
            help="start Spark right away, in the background, so that the first Glue run is as quick as later ones",
        )
    stop_parser = command("stop", stop, "Stop a local cloud and every process it started.")
    del stop_parser
    status_parser = command("status", status, "Tell whether it runs, where, and what it runs; exit 3 if not.")
    status_parser.add_argument("--json", action="store_true", help="as JSON")
    command("env", environment, "Print shell exports that point the AWS CLI, CDK and SDKs at it.")
    preparation = "Archive Spark's classes once, so that every Glue run starts faster; takes half a minute."
    commands.add_parser("prepare", help=preparation, description=preparation).set_defaults(run=prepare)
    guard_parser = command(
        "guard", guard, "Clean up after a server that was killed (started by serve itself)."
    )
    guard_parser.add_argument("--server", type=int, required=True, help="the server's process id")
    guard_parser.add_argument("--owner", type=int, help="stop the server when this process ends")
    return parser


def start(options: argparse.Namespace) -> int:
    """Spawn ``serve`` in a session of its own and wait until it answers."""
    home: Home = options.state
    record = home.read()
    if record is not None and _runs(home, record):
        raise LocalCloudError(f"a local cloud runs in {home.root} already, at {record.endpoint_url}")
    _sweep(home)
    home.create()
    lost = what_was_lost(home.unsaved_marker)
    command = [sys.executable, "-m", "localcloud", "serve", "--state", str(home.root)]
    command += ["--quotas", _absolute_if_file(options.quotas), "--region", options.region]
    command += ["--wait-scale", str(options.wait_scale)]
    if options.port is not None:
        command += ["--port", str(options.port)]
    if options.owner is not None:
        command += ["--owner", str(options.owner)]
    if options.warm_up:
        command += ["--warm-up"]
    with home.log_file.open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {MARK: str(home.root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        record = _wait_until_it_answers(home, server)
    except BaseException:
        _sweep(home)
        raise
    print(f"local cloud at {record.endpoint_url} (pid {record.pid}), state in {home.root}")
    if lost is not None:
        print(lost)
    return 0


def serve(options: argparse.Namespace) -> int:
    """Serve in this process."""
    from localcloud.server import Options
    from localcloud.server import serve as run

    home: Home = options.state
    if os.environ.get(MARK) != str(home.root):
        # The mark must be in the environment that this process was started with: it is found by it.
        os.environ[MARK] = str(home.root)
        os.execv(  # noqa: S606 - the same program again
            sys.executable, [sys.executable, "-m", "localcloud", *sys.argv[1:]]
        )
    record = home.read()
    if record is not None and _runs(home, record):
        raise LocalCloudError(f"a local cloud runs in {home.root} already, at {record.endpoint_url}")
    run(
        Options(
            home=home,
            port=options.port,
            region=options.region,
            quotas=_absolute_if_file(options.quotas),
            wait_scale=options.wait_scale,
            owner=options.owner,
            warm_up=options.warm_up,
        )
    )
    # Threads that wait for something which won't come any more must not keep the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def stop(options: argparse.Namespace) -> int:
    """End the server, which ends its children; then whatever is left."""
    home: Home = options.state
    record = home.read()
    if record is not None and _runs(home, record):
        signal_all([record.pid], signal.SIGTERM)
        wait_for_end([record.pid], STOP_SECONDS)
    _sweep(home)
    print(
        f"no local cloud runs in {home.root}" if record is None else f"stopped the local cloud in {home.root}"
    )
    return 0


def status(options: argparse.Namespace) -> int:
    """Print what runs."""
    home: Home = options.state
    record = home.read()
    running = record is not None and _runs(home, record)
    document: dict[str, Any] = {"running": running, "state": str(home.root)}
    if record is not None and running:
        document |= {
            "endpoint_url": record.endpoint_url,
            "pid": record.pid,
            "region": record.region,
            "account": record.account,
            "processes": _get(record, "/_localcloud/processes"),
        }
    if options.json:
        print(json.dumps(document, indent=2))
    elif not running:
        print(f"no local cloud runs in {home.root}")
    else:
        print(f"local cloud at {document['endpoint_url']} (pid {document['pid']}), state in {home.root}")
        for process in document["processes"]:
            print(f"  {process['kind']:<10} {process['name']} (pid {process['pid']})")
    return 0 if running else 3


def environment(options: argparse.Namespace) -> int:
    """Print exports for a POSIX shell."""
    home: Home = options.state
    record = home.read()
    if record is None:
        raise LocalCloudError(
            f"no local cloud runs in {home.root}; start one with `start --state {home.root}`"
        )
    for name, value in client_environment(record).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def prepare(options: argparse.Namespace) -> int:
    """Write the archive unless it is there."""
    from localcloud.glue import spark

    print(f"Spark's classes are in {spark.prepare()}")
    return 0


def guard(options: argparse.Namespace) -> int:
    """Wait for the server's end."""
    from localcloud.server import guard as run

    run(options.state, options.server, options.owner)
    return 0


def _runs(home: Home, record: Record) -> bool:
    """Whether the recorded process lives and is this home's server, not a later one with its number."""
    return alive(record.pid) and (record.pid == os.getpid() or record.pid in marked(MARK, str(home.root)))


def _sweep(home: Home) -> None:
    left = end_marked(MARK, str(home.root), grace_seconds=1.0)
    if left:
        raise LocalCloudError(
            f"processes {left} of the local cloud in {home.root} can't be ended; end them by hand"
        )
    home.forget()


def _wait_until_it_answers(home: Home, server: subprocess.Popen[bytes]) -> Record:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise LocalCloudError(
                f"the server ended at start; the end of {home.log_file}:\n{home.log_tail()}"
            )
        record = home.read()
        if record is not None and record.pid == server.pid:
            try:
                _get(record, "/_localcloud/")
            except urllib.error.URLError:
                pass
            else:
                return record
        time.sleep(0.03)
    raise LocalCloudError(
        f"the server did not answer within {START_SECONDS:.0f} s; the end of {home.log_file}:\n{home.log_tail()}"
    )


def _get(record: Record, path: str) -> Any:
    # Without the machine's proxies, which don't reach this machine's own ports.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(record.endpoint_url + path, timeout=10) as response:
        return json.load(response)


def _absolute_if_file(quotas: str) -> str:
    """``serve`` runs in another folder than the one in which the path was typed."""
    path = Path(quotas).expanduser()
    return str(path.resolve()) if path.exists() else quotas
