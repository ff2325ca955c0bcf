"""The edge to CloudWatch Logs: a job's log goes there when the job has ended, as SageMaker's does.

While it runs, the control API has it. Limits are PutLogEvents': 10,000 events and 1 MiB a call, with 26 bytes
of overhead counted for each event.
"""

from __future__ import annotations

import logging
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

logger = logging.getLogger("localcloud.sagemaker")

_MOST_EVENTS = 10_000
_MOST_BYTES = 1 << 20
_EVENT_OVERHEAD_BYTES = 26
_LONGEST_MESSAGE_BYTES = 256 << 10


class LogSink(Protocol):
    """Where logs are kept."""

    def ship(self, group: str, stream: str, path: pathlib.Path) -> None:
        """Copy a log file's lines to a stream; a failure is only noted."""


def event_batches(lines: Iterator[str], moment: int) -> Iterator[list[dict[str, Any]]]:
    """Events of as many lines as one call may carry; empty lines are left out, as the API refuses them.

    Parameters
    ----------
    moment
        Milliseconds since 1970, the time of every event.
    """
    batch: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        message = line.rstrip("\n").encode()[: _LONGEST_MESSAGE_BYTES - _EVENT_OVERHEAD_BYTES]
        if not message:
            continue
        cost = len(message) + _EVENT_OVERHEAD_BYTES
        if batch and (len(batch) == _MOST_EVENTS or size + cost > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append({"timestamp": moment, "message": message.decode("utf-8", "ignore")})
        size += cost
    if batch:
        yield batch


class CloudWatchLogs:
    """CloudWatch Logs through boto3, at the emulator's endpoint."""

    def __init__(self, endpoint_url: str, region: str) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._lock = threading.Lock()
        self._client: Any = None

    def ship(self, group: str, stream: str, path: pathlib.Path) -> None:
        """Copy a log file's lines to a stream; a failure is only noted."""
        import botocore.exceptions

        try:
            client = self._connect()
            for create, arguments in (
                (client.create_log_group, {"logGroupName": group}),
                (client.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
            ):
                try:
                    create(**arguments)
                except client.exceptions.ResourceAlreadyExistsException:
                    continue
            with path.open(encoding="utf-8", errors="replace") as lines:
                for events in event_batches(lines, int(time.time() * 1000)):
                    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            logger.warning("the log of %s can't be sent to %s: %s", stream, group, error)

    def _connect(self) -> Any:
        import boto3  # the server starts faster without it
        import botocore.config

        with self._lock:  # making a client is not thread-safe, using one is
            if self._client is None:
                self._client = boto3.session.Session().client(
                    "logs",
                    endpoint_url=self._endpoint_url,
                    region_name=self._region,
                    aws_access_key_id="test",
                    aws_secret_access_key="test",  # noqa: S106 - the emulator's fixed root key
                    config=botocore.config.Config(
                        connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, proxies={}
                    ),
                )
        return self._client
