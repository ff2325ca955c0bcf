"""Folders shaped like /opt/ml, and the stand-ins run as the local cloud runs them: as processes."""

from __future__ import annotations

import functools
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from scipy import sparse

from algorithms.container.program import main
from fmrec.recordio import encode_csr, encode_dense
from localcloud.forks import Forks, Process
from localcloud.sagemaker.children import IMPORTED

REPOSITORY = Path(__file__).parents[3]


def records(features: sparse.csr_matrix | np.ndarray, labels: np.ndarray | None = None) -> bytes:
    if not isinstance(features, np.ndarray):
        return bytes(
            encode_csr(features.indptr, features.indices, features.data, features.shape[1], labels).tobytes()
        )
    return bytes(encode_dense(features, labels).tobytes())


class Programs:
    """Starts the stand-ins, where it is possible as forks of a process that has imported for them."""

    def __init__(self) -> None:
        self.forks = Forks(IMPORTED, [str(REPOSITORY)])

    def start(
        self, algorithm: str, *arguments: str, environment: Mapping[str, str], errors: int | None = None
    ) -> tuple[Process, IO[bytes]]:
        """Start a program; return it and what it prints, its errors included unless they go to a file."""
        command = [sys.executable, "-m", f"algorithms.{algorithm}", *arguments]
        everything = {**os.environ, **environment}
        output, printed = os.pipe()
        with os.fdopen(printed, "wb") as target, Path(os.devnull).open("rb") as nothing:
            files = nothing.fileno(), printed, printed if errors is None else errors
            if self.forks.possible(command, everything):
                process: Process = self.forks.start(command, everything, REPOSITORY, files)
            else:
                process = subprocess.Popen(
                    command, cwd=REPOSITORY, env=everything, stdin=nothing, stdout=target, stderr=files[2]
                )
        return process, os.fdopen(output, "rb")


def no_server(root: Path, host: str, port: int) -> None:
    raise AssertionError("a training serves nothing")


@dataclass
class Job:
    """A container's folder, its settings and what came out."""

    programs: Programs
    algorithm: str
    root: Path
    hyperparameters: dict[str, object] = field(default_factory=dict)
    content_types: dict[str, str] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=lambda: ["algo-1"])
    log: str = ""

    def put(self, channel: str, name: str, content: bytes) -> None:
        path = self.root / "input" / "data" / channel / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def configure(self) -> None:
        configuration = self.root / "input" / "config"
        configuration.mkdir(parents=True, exist_ok=True)
        data = self.root / "input" / "data"
        channels = {
            folder.name: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
                **(
                    {"ContentType": self.content_types[folder.name]}
                    if folder.name in self.content_types
                    else {}
                ),
            }
            for folder in (sorted(data.iterdir()) if data.exists() else [])
        }
        for name, document in {
            "hyperparameters": self.hyperparameters,
            "inputdataconfig": channels,
            "resourceconfig": {
                "current_host": self.hosts[0],
                "hosts": self.hosts,
                "network_interface_name": "eth0",
            },
        }.items():
            (configuration / f"{name}.json").write_text(json.dumps(document))

    def train(self, environment: Mapping[str, str] | None = None) -> int:
        """Run the training as a process; the exit code."""
        self.configure()
        process, output = self.programs.start(
            self.algorithm, "train", "--root", str(self.root), environment=environment or {}
        )
        with output:
            self.log = output.read().decode()
        return process.wait(300)

    def refuse(self) -> int:
        """Run a training that is going to fail in this process, which is quicker; the exit code."""
        self.configure()
        module = importlib.import_module(f"algorithms.{self.algorithm}.train")
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return main(self.algorithm, module.train_job, no_server, ["train", "--root", str(self.root)])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    @property
    def failure(self) -> str:
        return (self.root / "output" / "failure").read_text()

    def metric(self, scope: str, name: str) -> float:
        """The last value of a metric line, found by the regular expression that AWS would use."""
        found = re.findall(
            rf"#quality_metric: host=\S+, {scope} {re.escape(name)} <(?:loss|score)>=(\S+)", self.log
        )
        return float(found[-1])


@dataclass
class Server:
    port: int
    process: Process

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str | None = None,
        accept: str | None = None,
    ) -> tuple[int, bytes, str | None]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": content_type, "Accept": accept}
        connection.request(
            method, path, body, {name: value for name, value in headers.items() if value is not None}
        )
        response = connection.getresponse()
        answer = response.status, response.read(), response.headers["Content-Type"]
        connection.close()
        return answer

    def invoke(
        self, body: bytes, content_type: str | None = None, accept: str | None = None
    ) -> tuple[int, bytes, str | None]:
        return self.ask("POST", "/invocations", body, content_type, accept)


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    found = Programs()
    yield found
    found.forks.close()


@pytest.fixture(scope="session")
def make_job(programs: Programs) -> Callable[..., Job]:
    def make(root: Path, algorithm: str, **hyperparameters: object) -> Job:
        return Job(programs, algorithm, root, {name: str(value) for name, value in hyperparameters.items()})

    return make


@pytest.fixture
def job(tmp_path: Path, make_job: Callable[..., Job]) -> Callable[..., Job]:
    return functools.partial(make_job, tmp_path)


@pytest.fixture(scope="module")
def serve(programs: Programs) -> Iterator[Callable[..., Server]]:
    """Start servers; stop them at the end of the module."""
    started = []

    def start(algorithm: str, root: Path, **environment: str) -> Server:
        arguments = ("serve", "--root", str(root), "--port", "0")
        process, output = programs.start(algorithm, *arguments, environment=environment, errors=2)
        started.append((process, output))
        for line in output:
            match = re.search(rb"Listening at: http://127\.0\.0\.1:(\d+)", line)
            if match:
                return Server(int(match[1]), process)
        raise AssertionError(f"the server of {algorithm} ended with {process.wait()}")

    yield start
    for process, output in started:
        process.terminate()
        process.wait(30)
        output.close()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return records
