"""What the parts of SageMaker here stand on together: account, records, limits, programs, storage,
folders.
"""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from localcloud.faults import ServiceFault
from localcloud.sagemaker.account import Account
from localcloud.sagemaker.children import Children
from localcloud.sagemaker.images import Images
from localcloud.sagemaker.limits import Limits
from localcloud.sagemaker.logs import LogSink
from localcloud.sagemaker.objects import ObjectStore
from localcloud.sagemaker.records import Record, Records
from localcloud.sagemaker.watching import CloudWatch, NoCloudWatch

CAPACITY_SECONDS = 0.5
"""How long a job or endpoint looks for capacity that isn't there; minutes on AWS."""
FAILURE_REASON_LENGTH = 1024
INTERRUPTED = "InternalServerError: the local cloud was stopped while the job ran. Start it again."


class FaultDocument(Protocol):
    """The faults that a test or a demo orders (``localcloud.faults.Faults``)."""

    def get(self) -> dict[str, Any]:
        """The faults document."""


class JobError(Exception):
    """A job or endpoint fails; the message is its ``FailureReason``."""


class StoppedError(Exception):
    """Somebody stopped the job."""


@dataclass
class Platform:
    """Shared by training, transform, endpoints, registry and tuning."""

    home: pathlib.Path
    account: Account
    endpoint_url: str
    faults: FaultDocument
    records: Records
    limits: Limits
    children: Children
    images: Images
    objects_of: Callable[[str], ObjectStore]
    """S3 as the role sees it that a job or model was given."""
    logs: LogSink
    cloudwatch: CloudWatch = field(default_factory=NoCloudWatch)
    wait_scale: float = 1.0
    """Factor on the waits that requests ask for, such as baking periods."""
    threads: list[threading.Thread] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def log_path(self, kind: str, name: str) -> pathlib.Path:
        """The log file of a job or endpoint; kinds as in the control API."""
        return self.home / "logs" / kind / f"{name}.log"

    def ship_log(self, kind: str, name: str, group: str, stream: str) -> None:
        """Send a log to CloudWatch Logs, if there is one and the local cloud isn't stopping."""
        path = self.log_path(kind, name)
        if path.is_file() and not self.closing.is_set():
            self.logs.ship(f"/aws/sagemaker/{group}", stream, path)

    def folder(self, kind: str, name: str) -> pathlib.Path:
        """The folder in which a job or endpoint works."""
        return self.home / "sagemaker" / "work" / kind / name

    def run(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        """Run a job in a thread of its own."""
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self.threads = [running for running in self.threads if running.is_alive()] + [thread]
        thread.start()

    def interrupted(self, reason: str) -> str:
        """The reason for a failure, or, while the local cloud stops, that it stops."""
        return INTERRUPTED if self.closing.is_set() else reason

    def without_capacity(self, instance_types: Iterable[str]) -> set[str]:
        """Those of the instance types of which there are none left."""
        return set(instance_types) & set(self.faults.get()["capacity_missing"])

    def memory_limit_bytes(self, instance_type: str) -> int | None:
        """Resident size above which programs on this type are killed, or None."""
        gibibytes = self.faults.get()["memory_limit_gib"].get(instance_type)
        return None if gibibytes is None else int(gibibytes * (1 << 30))

    def existing(self, kind: str, name: str, missing: str) -> Record:
        """The record of a resource.

        Raises
        ------
        ServiceFault
            ``ValidationException`` with the text ``missing``.
        """
        record = self.records.get(kind, name)
        if record is None:
            raise ServiceFault("ValidationException", missing)
        return record


def instances_of(resource: dict[str, Any]) -> list[tuple[str, int]]:
    """Instance types and counts of a ``ResourceConfig``."""
    if "InstanceGroups" in resource:
        return [(group["InstanceType"], group["InstanceCount"]) for group in resource["InstanceGroups"]]
    chosen = resource.get("SelectedInstanceType") or resource.get("InstanceType")
    return [(chosen, resource.get("InstanceCount", 1))] if chosen else []


def required(parameters: dict[str, Any], *names: str) -> None:
    """Refuse a request that lacks one of the members.

    Raises
    ------
    ServiceFault
        ``ValidationException`` naming the member.
    """
    for name in names:
        if parameters.get(name) is None:
            raise ServiceFault("ValidationException", f"The request is missing the parameter {name}.")


def echo(parameters: dict[str, Any], names: Sequence[str]) -> Record:
    """The request members that a Describe answer repeats."""
    return {name: parameters[name] for name in names if parameters.get(name) is not None}
