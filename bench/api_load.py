"""Fifty clients at the deployed HTTP API in a local cloud: errors, lost events, memory, latencies.

    python -m bench.api_load [--seconds 300] [--clients 50]

The app is deployed by the CDK CLI, a small run publishes, and autocannon (bench/load_generator) sends signed
requests to all routes that read and to POST /events, with a route next to them that only echoes. What is
asked of it, by its exit code:

- no request fails, by status or otherwise;
- no event is lost: each that was sent is in a file in raw/ or in the quarantine, once, whatever was posted
  twice (what had no answer when the time was up is posted again, as callers are to do);
- memory is flat: what functions hold in the last third is about what they held in the second. The local cloud
  itself keeps in memory what is stored in it (events, their stream for a day, logs), so it may grow by a few
  KiB for each request.

Latencies are those of a machine that is server and client at once: compare them with the echo's.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
import numpy as np

from bench.targets import ROOT, print_machine
from demo import cloud as local
from demo.cloud import REGION, Cloud
from fmrec.client import Client, Event
from fmrec.commands.run import PIPELINE_STACK, STORAGE_STACK
from fmrec.execution.step_functions import follow, stack_outputs, start

GENERATOR = ROOT / "bench/load_generator"
USERS, ITEMS, RATED = 600, 300, 20
LAND_WITHIN_SECONDS = 5
LIMIT_GROWTH, LIMIT_GROWTH_MIB = 0.10, 16.0
"""How much more than in the second third may be held in the last: this share, and so much more of noise."""
LIMIT_KEPT_KIB = 16.0
"""How much the local cloud may keep for each request."""
SAMPLE_EVERY = 5.0
CLOUD = "cloud"
SERVING = ("FmRecApi", "echo")
"""How the names of functions begin that answer requests or land events."""
EXECUTION: dict[str, Any] = {
    "task": "recommend",
    "hyperparameters": {"num_factors": 32, "epochs": 8, "mini_batch_size": 500, "factors_init_sigma": 0.05},
    "serving": {"endpoint": False, "recommendations_per_user": 20},
}
ECHO = "def handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=300, help="how long (300)")
    parser.add_argument("--clients", type=int, default=50, help="how many at a time (50)")
    arguments = parser.parse_args()
    print_machine("ministack")
    with tempfile.TemporaryDirectory() as folder, local.cloud(Path(folder), "large", False) as cloud:
        deployed = deploy(cloud)
        publish(cloud, deployed)
        settings = {
            "api": f"{cloud.endpoint_url}/_aws/execute-api/{deployed['ApiId']}/$default",
            "echo": add_echo(cloud),
            "region": REGION,
            **caller(cloud, deployed["ApiCallArn"]),
            "users": [str(user) for user in range(1, USERS + 1)],
            "items": [str(item) for item in range(1, ITEMS + 1)],
            "seconds": arguments.seconds,
            "clients": arguments.clients,
        }
        with sampled(cloud) as memory:
            found = generate(settings)
        print_latencies(found)
        kept = [
            check_answers(found),
            check_events(cloud, deployed, settings, found["events"]),
            check_memory(memory, sum(map(len, found["latencies"].values()))),
        ]
    return 0 if all(kept) else 1


def deploy(cloud: Cloud) -> dict[str, str]:
    """Deploy everything, and return the outputs of the stacks."""
    events = {"land_within_seconds": LAND_WITHIN_SECONDS}
    with tempfile.TemporaryDirectory() as folder:
        output = ("--output", folder)
        local.cdk(cloud, "bootstrap", *output, on_line=lambda _line: None)
        setting = ("--context", f"fmrec.api={json.dumps({'events': events})}")
        never = ("--require-approval", "never")
        local.cdk(cloud, "deploy", "--all", *never, *setting, *output, on_line=lambda _line: None)
    found: dict[str, str] = {}
    for stack in (STORAGE_STACK, PIPELINE_STACK, "FmRecApi"):
        found |= stack_outputs(cloud.client("cloudformation"), stack)
    return found


def publish(cloud: Cloud, deployed: dict[str, str]) -> None:
    """Upload interactions of users who like items of their own taste, and run the workflow on them."""
    random = np.random.default_rng(0)
    lines = ["user_id,item_id,rating,timestamp"]
    for user in range(1, USERS + 1):
        own = np.arange(1 + user % 5, ITEMS + 1, 5)
        rated = np.concatenate([random.choice(own, RATED, replace=False), random.integers(1, ITEMS + 1, 5)])
        lines += [f"{user},{item},{5 if item % 5 == (1 + user) % 5 else 2},1000000" for item in rated]
    cloud.client("s3").put_object(
        Bucket=deployed["DataBucket"], Key="raw/interactions/ratings.csv", Body="\n".join(lines).encode()
    )
    states = cloud.client("stepfunctions")
    execution = follow(
        states, start(states, deployed["StateMachineArn"], EXECUTION, "load"), poll_seconds=0.5
    )
    if execution.status != "SUCCEEDED":
        raise SystemExit(f"the run {execution.status.lower()}: {execution.cause}")


def caller(cloud: Cloud, arn: str) -> dict[str, str]:
    """A key of a user who may call the API, and nothing else."""
    iam = cloud.client("iam")
    iam.create_user(UserName="load")
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="load", PolicyName="call", PolicyDocument=policy)
    key = iam.create_access_key(UserName="load")["AccessKey"]
    return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}


def add_echo(cloud: Cloud) -> str:
    """An HTTP API of one route, whose function does nothing; return its URL."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", ECHO)
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = cloud.client("iam").create_role(RoleName="echo", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    function = cloud.client("lambda").create_function(
        FunctionName="echo",
        Runtime="python3.13",
        Handler="handler.handler",
        Role=role,
        Code={"ZipFile": code.getvalue()},
    )
    gateway = cloud.client("apigatewayv2")
    api = gateway.create_api(Name="echo", ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=function["FunctionArn"],
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    gateway.create_route(ApiId=api, RouteKey="GET /echo", Target=f"integrations/{integration}")
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return f"{cloud.endpoint_url}/_aws/execute-api/{api}/$default/echo"


def generate(settings: dict[str, Any]) -> dict[str, Any]:
    """Install the generator where it isn't, run it, and return what it prints."""
    folder = ROOT / "build/load_generator"
    lock = GENERATOR / "package-lock.json"
    installed = folder / "package-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(GENERATOR / "package.json", folder)
        shutil.copy(lock, folder)
        quiet = ("--no-audit", "--no-fund", "--loglevel", "error")
        try:
            subprocess.run(["npm", "ci", *quiet], cwd=folder, check=True)
        except BaseException:
            installed.unlink(missing_ok=True)
            raise
    shutil.copy(GENERATOR / "load.mjs", folder)
    command = ["node", str(folder / "load.mjs")]
    done = subprocess.run(
        command, input=json.dumps(settings), stdout=subprocess.PIPE, text=True, check=True, cwd=folder
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def print_latencies(found: dict[str, Any]) -> None:
    """Percentiles by route, and each route's median over the echo's."""
    latencies = {name: np.array(times) for name, times in found["latencies"].items() if times}
    count = sum(map(len, latencies.values()))
    print(f"{count:,} requests in {found['seconds']:.0f} s, {count / found['seconds']:.0f} a second")
    echo = float(np.median(latencies["echo"]))
    print(f"  {'milliseconds':<24}{'requests':>9}{'p50':>7}{'p90':>7}{'p99':>7}{'most':>7}   p50 / echo's")
    for name, times in latencies.items():
        p50, p90, p99 = np.percentile(times, (50, 90, 99))
        print(
            f"  {name:<24}{len(times):>9,}{p50:>7.0f}{p90:>7.0f}{p99:>7.0f}{times.max():>7.0f}{p50 / echo:>9.2f}",
            flush=True,
        )


def check_answers(found: dict[str, Any]) -> bool:
    """Whether all requests were answered with 200."""
    others = sum(count for status, count in found["statuses"].items() if status != "200")
    kept = not others and not found["errors"] and not found["timeouts"] and bool(found["statuses"].get("200"))
    print(
        f"answers: {found['statuses']}, {found['errors']} errors, {found['timeouts']} time-outs: "
        f"{'kept' if kept else 'MISSED'}"
    )
    for failure in found["failures"]:
        print(f"  {failure[:500]}")
    return kept


def check_events(
    cloud: Cloud, deployed: dict[str, str], settings: dict[str, Any], events: dict[str, Any]
) -> bool:
    """Whether each event that was sent has landed, once."""
    session = botocore.session.Session()
    session.set_credentials(settings["access_key"], settings["secret_key"])
    client = Client(settings["api"], region=REGION, session=session)
    stored, duplicates = events["stored"], events["duplicates"]
    for posted in events["unanswered"]:
        receipt = client.store([Event(**posted)])
        stored, duplicates = stored + receipt.stored, duplicates + receipt.duplicates
    sent = Counter((each["user_id"], each["item_id"]) for each in events["answered"] + events["unanswered"])
    s3, bucket = cloud.client("s3"), deployed["DataBucket"]
    deadline = time.monotonic() + 180
    while True:
        rows, files = landed(s3, bucket, "raw/interactions/events-")
        quarantined = sum(body.count(b"\n") for body in objects(s3, bucket, "quarantine/events/"))
        if sum(rows.values()) + quarantined >= len(sent) or time.monotonic() > deadline:
            break
        time.sleep(1)
    kept = rows == sent and not quarantined and bool(sent)
    print(
        f"events: {sum(sent.values()):,} sent, {len(events['unanswered'])} of them again at the end; answered as stored "
        f"{stored:,}, as duplicates {duplicates:,}; {sum(rows.values()):,} in {files} files in raw/ (once each: "
        f"{'yes' if max(rows.values(), default=0) <= 1 else 'NO'}), {quarantined} in quarantine: "
        f"{'kept' if kept else 'MISSED'}"
    )
    return kept


def landed(s3: Any, bucket: str, prefix: str) -> tuple[Counter[tuple[str, str]], int]:
    """How often each pair of user and item is in the files of events, and how many files there are."""
    bodies = list(objects(s3, bucket, prefix))
    rows = (row for body in bodies for row in csv.DictReader(io.StringIO(body.decode())))
    return Counter((row["user_id"], row["item_id"]) for row in rows), len(bodies)


def objects(s3: Any, bucket: str, prefix: str) -> Iterator[bytes]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", []):
            yield s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()


@dataclass
class Memory:
    """MiB and number of the processes of each kind, by second."""

    began: float = field(default_factory=time.monotonic)
    seconds: list[float] = field(default_factory=list)
    samples: list[dict[str, tuple[float, int]]] = field(default_factory=list)

    def sample(self, state: Path) -> None:
        found: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                kind, mib = _kind(folder, str(state)), 0.0
                if kind:
                    mib = _resident(folder)
                    total, count = found[kind]
                    found[kind] = total + mib, count + 1
        self.seconds.append(time.monotonic() - self.began)
        self.samples.append(dict(found))


def _kind(folder: Path, state: str) -> str | None:
    """What a process of this cloud is: the cloud itself, or a function that the load reaches."""
    try:
        command = folder.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
        if state not in " ".join(command):
            return None
        if "serve" in command and "localcloud" in command:
            return CLOUD
        variables = folder.joinpath("environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended
        return None
    name = next(
        (each.partition("=")[2] for each in variables if each.startswith("AWS_LAMBDA_FUNCTION_NAME=")), ""
    )
    return name if name.startswith(SERVING) else None


def _resident(folder: Path) -> float:
    try:
        return int(folder.joinpath("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    except OSError:
        return 0.0


@contextmanager
def sampled(cloud: Cloud) -> Iterator[Memory]:
    """Sample memory while the block runs."""
    memory, done = Memory(), threading.Event()

    def run() -> None:
        while not done.wait(SAMPLE_EVERY):
            memory.sample(cloud.state)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()


def check_memory(memory: Memory, requests: int) -> bool:
    """Print memory over time; return whether each function's processes hold no more in the end than before,
    and the cloud no more than what is stored in it.
    """
    third = len(memory.samples) // 3
    kinds = sorted({kind for sample in memory.samples[third:] for kind in sample})
    print(
        f"  {'MiB (processes) after':<36}"
        + "".join(f"{memory.seconds[at]:>11.0f} s" for at in _shown(memory))
    )
    kept = bool(third)
    for kind in kinds:
        each = [sample[kind][0] / sample[kind][1] for sample in memory.samples[third:] if kind in sample]
        second, last = (float(np.mean(part)) for part in np.array_split(each, 2))
        kib = (last - second) * 1024 / max(1.0, requests / 3)  # the means are a third of the time apart
        is_cloud = kind == CLOUD
        flat = kib <= LIMIT_KEPT_KIB if is_cloud else last <= second * (1 + LIMIT_GROWTH) + LIMIT_GROWTH_MIB
        growth = f"{kib:+.1f} KiB a request" if is_cloud else f"{last - second:+.1f} MiB each"
        kept = kept and flat
        row = [memory.samples[at].get(kind, (0.0, 0)) for at in _shown(memory)]
        print(
            f"  {kind:<36}"
            + "".join(f"{total / max(1, count):>8.0f} ({count:>2})" for total, count in row)
            + f"   {growth}: {'kept' if flat else 'MISSED'}"
        )
    print(f"memory: {'kept' if kept else 'MISSED'}", flush=True)
    return kept


def _shown(memory: Memory) -> list[int]:
    last = len(memory.samples) - 1
    return sorted({round(last * part / 5) for part in range(6)}) if last >= 0 else []


if __name__ == "__main__":
    raise SystemExit(main())
