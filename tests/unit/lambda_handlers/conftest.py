"""A small run on disk, the functions' bundles, and an AWS that knows just what handlers ask it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.execution.function_contracts import ANSWERS, keys_of
from fmrec.model.factorization_machine import FactorizationMachine
from stacks import bundles
from tests.fixtures.serving import Serving

USERS, ITEMS, FACTORS = 7, 5, 3

NOT_IN_LAMBDA = (
    *("scipy", "pandas", "pyspark", "pydantic", "aws_cdk", "faiss", "numba", "matplotlib"),
    *("ministack", "localcloud", "algorithms", "stacks", "demo"),
)

RUNNER = """
import importlib.abc, json, os, sys, traceback

# What functions have from elsewhere, once for all invocations: each is a process forked from this one.
import boto3, numpy, pyarrow.compute, pyarrow.parquet
import aws_lambda_powertools.utilities.typing
boto3.Session(region_name="eu-west-1").client("s3")  # imports most of botocore

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r} in a Lambda function", name=name)

class Context:
    function_name, memory_limit_in_mb, aws_request_id = "f", 512, "r"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:f"

ABSENT = set(json.loads(sys.argv[1]))
present = ABSENT & {name.partition(".")[0] for name in sys.modules}
assert not present, present
sys.meta_path.insert(0, Absent())

def invoke(bundle, event, environment, folder):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = bundle
    import handler
    import fmrec
    assert os.path.dirname(os.path.dirname(fmrec.__file__)) in bundle, fmrec.__file__
    try:
        return handler.handler(event, Context())
    except Exception as error:
        return {"errorType": type(error).__name__, "errorMessage": str(error)}

for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answer = json.dumps(invoke(**request), allow_nan=False)
            with open(os.path.join(request["folder"], "answer.json"), "w") as file:
                file.write(answer)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(f"\\nexit {status}", flush=True)
"""
"""Invokes the function of each line that it reads, in a process of its own."""


@dataclass
class SmallCloud:
    """DynamoDB, an endpoint and a model registry; every other call is denied."""

    items: dict[str, Any] = field(default_factory=dict)
    neighbours: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    packages: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, path: str, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(target or path)
        if target.endswith("BatchWriteItem"):
            for requests in body["RequestItems"].values():
                for request in requests:
                    item = request["PutRequest"]["Item"]
                    self.items[item["user_id"]["S"]] = item
            return 200, {"UnprocessedItems": {}}
        if target.endswith("GetItem"):
            item = self.items.get(body["Key"]["user_id"]["S"])
            return 200, {"Item": item} if item else {}
        if target.startswith("SageMaker.") and "ModelPackage" in target:
            return self._registry(target.rpartition(".")[2], body)
        if path.endswith("/invocations"):
            return 200, {"predictions": [self.neighbours]}
        return 400, {"__type": "AccessDeniedException", "message": "not today"}

    def _registry(self, operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if operation.startswith("Describe"):
            missing = body.get("ModelPackageName") or body["ModelPackageGroupName"]
            return 400, {"__type": "ValidationException", "message": f"{missing} does not exist."}
        if operation == "CreateModelPackageGroup":
            return 200, {"ModelPackageGroupArn": "arn:group"}
        if operation == "CreateModelPackage":
            self.packages.append(body)
        else:
            self.packages[-1].update(body)
        return 200, {
            "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:000000000000:model-package/fmrec-recommend/4"
        }


@pytest.fixture
def cloud() -> Iterator[tuple[SmallCloud, str]]:
    """The small cloud and its URL."""
    small = SmallCloud()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                body = json.loads(content or b"{}")
            except ValueError:
                body = {}
            status, answer = small.answer(self.path, self.headers.get("X-Amz-Target", ""), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, Serving(server):
        yield small, f"http://127.0.0.1:{server.server_port}"


Invoke = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def unzipped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Unzip a function's bundle; return the handler's folder and the library's, which equal ones share."""
    libraries: dict[frozenset[tuple[str, int]], Path] = {}

    @functools.cache
    def unzip(function: str) -> list[str]:
        own = tmp_path_factory.mktemp(function)
        with zipfile.ZipFile(bundles.function_code(function)) as archive:
            shared = {entry for entry in archive.infolist() if entry.filename.startswith("fmrec/")}
            archive.extractall(own, set(archive.infolist()) - shared)
            contents = frozenset((entry.filename, entry.CRC) for entry in shared)
            if contents not in libraries:
                libraries[contents] = tmp_path_factory.mktemp("library")
                archive.extractall(libraries[contents], shared)
        return [str(own), str(libraries[contents])]

    return unzip


@pytest.fixture(scope="session")
def runtime() -> Iterator[Callable[[dict[str, Any]], str]]:
    """Have a request run in a process that has only what a Lambda function has; return what it printed."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", RUNNER, json.dumps(NOT_IN_LAMBDA)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"},
    ) as process:
        requests, answers = process.stdin, process.stdout
        assert requests is not None
        assert answers is not None

        def run(request: dict[str, Any]) -> str:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            lines: list[str] = []
            for line in answers:
                if line.startswith("exit "):
                    assert line == "exit 0\n", "".join(lines)
                    return "".join(lines)
                lines.append(line)
            raise AssertionError("".join(lines))

        yield run
        requests.close()


@pytest.fixture
def invoke(
    cloud: tuple[SmallCloud, str],
    runtime: Callable[[dict[str, Any]], str],
    unzipped: Callable[[str], list[str]],
    tmp_path: Path,
) -> Invoke:
    """Invoke a function from its bundle in a process that has only what a Lambda function has."""

    def call(function: str, event: dict[str, Any], **environment: str) -> dict[str, Any]:
        settings = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": cloud[1],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **environment,
        }
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            runtime(
                {
                    "bundle": unzipped(function),
                    "event": event,
                    "environment": settings,
                    "folder": folder,
                }
            )
            answer: dict[str, Any] = json.loads(Path(folder, "answer.json").read_text())
        if "errorType" not in answer:
            required, optional = keys_of(ANSWERS[function])
            assert required <= set(answer) <= required | optional
        return answer

    return call


@dataclass(frozen=True)
class SmallRun:
    """An encoded run and a model of it."""

    folder: Path
    model: FactorizationMachine

    def uri(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def scores(self) -> np.ndarray:
        """Every user's logit of every item: (users, items)."""
        linear, factors = self.model.linear.astype(float), self.model.factors.astype(float)
        scores: np.ndarray = (
            self.model.bias
            + linear[:USERS, None]
            + linear[None, USERS:]
            + factors[:USERS] @ factors[USERS:].T
        )
        return scores


@pytest.fixture
def small_run(tmp_path: Path) -> SmallRun:
    """Seven users, five items, three factors."""
    random = np.random.default_rng(5)
    columns = USERS + ITEMS
    model = FactorizationMachine(
        0.25,
        random.normal(size=columns).astype(np.float32),
        random.normal(size=(columns, FACTORS)).astype(np.float32),
        "binary_classifier",
    )
    manifest = Manifest(
        run="small",
        created="2026-11-21T10:00:00Z",
        dataset={"label": {"mode": "binary"}},
        feature_dim=columns,
        nnz_per_row=2.0,
        users=USERS,
        items=ITEMS,
        ranges={"user": (0, USERS), "item": (USERS, columns)},
        rows=Rows(read=30, encoded=30, train=25, test=5),
        train=Channel("train/", 25, 1, 1600, 0.5),
        test=Channel("test/", 5, 1, 320, 0.5),
    )
    encoded = tmp_path / "encoded"
    index = encoded / "feature_index"
    index.mkdir(parents=True)
    names = [f"u{n}" for n in range(USERS)] + [f"i{n}" for n in range(ITEMS)]
    pq.write_table(
        pa.table(
            {
                "column": pa.array(range(columns), pa.int64()),
                "namespace": ["user"] * USERS + ["item"] * ITEMS,
                "name": names,
                "interactions": pa.array([3] * columns, pa.int64()),
            }
        ),
        index / "part-00000.parquet",
    )
    for channel in ("train", "test"):
        (encoded / channel).mkdir()
        (encoded / channel / "part-00000.pbr").write_bytes(b"rows")
    (encoded / "manifest.json").write_text(manifest.to_json())
    model.save(tmp_path / "model.tar.gz")
    return SmallRun(tmp_path, model)
