"""One serving program: a model unpacked, the program started on a free port, and asked over HTTP.

Follows SageMaker's hosting contract: ``GET /ping``, ``POST /invocations``, ``GET /execution-parameters``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from localcloud.sagemaker.children import Child, Kind
from localcloud.sagemaker.objects import StorageError, parse_s3_uri
from localcloud.sagemaker.platform import JobError, Platform
from localcloud.sagemaker.records import Record

_PING_SECONDS = 0.02
_HOST = "127.0.0.1"
_given: deque[int] = deque(maxlen=64)
_given_lock = threading.Lock()


class Answer(NamedTuple):
    """A container's HTTP answer."""

    status: int
    content_type: str
    body: bytes


class Container:
    """A running serving program."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.port = port

    @property
    def alive(self) -> bool:
        """Whether the program runs."""
        return self.child.process.poll() is None

    def ends_within(self, seconds: float) -> bool:
        """Whether the program has ended or does so soon; a refused connection is seen before its death is."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.process.wait(seconds)
        return not self.alive

    def healthy(self) -> bool:
        """Whether ``/ping`` answers 200."""
        try:
            return self._ask("GET", "/ping", None, {}, 2.0).status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def wait_until_healthy(self, seconds: float, check: Callable[[], None]) -> None:
        """Block until ``/ping`` answers 200.

        Parameters
        ----------
        check
            Called between attempts; raises to give up.

        Raises
        ------
        JobError
            The program ended or didn't answer in time; the message has no prefix.
        """
        deadline = time.monotonic() + seconds
        while not self.healthy():
            check()
            if self.child.out_of_memory:
                raise JobError("The container ran out of memory and was killed (exit code 137)")
            if not self.alive:
                raise JobError(f"The container's process ended while it started ({self.ending()})")
            if time.monotonic() > deadline:
                raise JobError(f"The container didn't answer /ping with 200 within {seconds:.0f} s")
            time.sleep(_PING_SECONDS)

    def ending(self) -> str:
        """How the program ended, in words."""
        code = self.child.process.returncode
        return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def invoke(self, body: bytes, headers: dict[str, str], seconds: float) -> Answer:
        """Send a request to ``/invocations``.

        Raises
        ------
        OSError, http.client.HTTPException
            No answer; ``TimeoutError`` if it took too long.
        """
        return self._ask("POST", "/invocations", body, headers, seconds)

    def execution_parameters(self) -> dict[str, Any]:
        """What the container asks batch transform for; empty if it doesn't say."""
        try:
            answer = self._ask("GET", "/execution-parameters", None, {}, 10.0)
            document = json.loads(answer.body) if answer.status == http.client.OK else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Answer:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=seconds)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(
                response.status,
                response.getheader("Content-Type", "application/octet-stream"),
                response.read(),
            )
        finally:
            connection.close()


def start_container(
    platform: Platform,
    kind: Kind,
    name: str,
    model: Record,
    root: pathlib.Path,
    *,
    environment: dict[str, str],
    instance_type: str | None,
) -> Container:
    """Start a model's program on what ``unpack_model`` laid under ``root``.

    Raises
    ------
    JobError
        The model's image has no program here.
    """
    definition = model["PrimaryContainer"]
    program = platform.images.program(definition["Image"])
    if program is None:
        raise JobError(f"ClientError: Cannot pull container image {definition['Image']}.")
    port = _free_port()
    child = platform.children.start(
        kind,
        name,
        [*program, "serve", "--root", str(root), "--host", _HOST, "--port", str(port)],
        environment={"AWS_REGION": platform.account.region} | definition.get("Environment", {}) | environment,
        log=platform.log_path(kind, name),
        memory_limit_bytes=None if instance_type is None else platform.memory_limit_bytes(instance_type),
    )
    return Container(child, port)


def unpack_model(platform: Platform, model: Record, root: pathlib.Path) -> None:
    """Download a model's artifact and unpack it as ``<root>/model``.

    Raises
    ------
    JobError
        It can't be read or isn't a gzipped tar; the message has no prefix.
    """
    folder = root / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    uri = model["PrimaryContainer"].get("ModelDataUrl")
    if uri is None:
        return
    bucket, key = parse_s3_uri(uri)
    try:
        # Streamed: neither the archive nor the model is ever in memory as a whole.
        objects = platform.objects_of(model["ExecutionRoleArn"])
        with objects.open(bucket, key) as body, tarfile.open(fileobj=body, mode="r|gz") as archive:
            # Before 3.11.4 Python has no filters; what is unpacked then is what a training job here packed.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(folder)  # noqa: S202 - filtered by the line above
    except StorageError as error:
        raise JobError(
            f'Failed to download model data for container "container_1" from URL: "{uri}". Please ensure that there '
            "is an object located at the URL and that the role passed to CreateModel has permissions to download "
            f"the object. ({error})"
        ) from error
    except (tarfile.TarError, OSError, EOFError) as error:
        raise JobError(
            f'Failed to extract model data archive for container "container_1" from URL "{uri}". Please ensure that '
            f"the object located at the URL is a valid tar.gz archive. ({error})"
        ) from error


def _free_port() -> int:
    """A port that is free and wasn't given to another container just now, which may not listen on it yet."""
    while True:
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            port: int = probe.getsockname()[1]
        with _given_lock:
            if port not in _given:
                _given.append(port)
                return port
