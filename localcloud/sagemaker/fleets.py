"""The programs behind an endpoint: one per production variant, started together and replaced when
they die.
"""

from __future__ import annotations

import random
import shutil
import threading
import uuid
from collections.abc import Callable
from typing import Any

from localcloud.sagemaker.children import ShutDownError
from localcloud.sagemaker.container import Container, start_container, unpack_model
from localcloud.sagemaker.platform import CAPACITY_SECONDS, JobError, Platform
from localcloud.sagemaker.records import Record

STARTUP_SECONDS = 300.0
_DRAIN_SECONDS = 60.0
REPLACEMENT_SECONDS = 30.0
"""How long a dead instance stays away before it is replaced; minutes on AWS."""


class Fleet:
    """The running variants of one endpoint configuration.

    Parameters
    ----------
    variants
        The configuration's ``ProductionVariants``.
    models
        Model records by name, as they were when the fleet was ordered.
    identity
        Name of the fleet's folder; a restarted server finds the unpacked models there.
    """

    def __init__(
        self,
        platform: Platform,
        endpoint: str,
        variants: list[dict[str, Any]],
        models: dict[str, Record],
        identity: str | None = None,
    ) -> None:
        self._platform = platform
        self._endpoint = endpoint
        self._variants = {variant["VariantName"]: variant for variant in variants}
        self._models = models
        self.identity = identity or uuid.uuid4().hex[:12]
        self._folder = platform.folder("endpoint", endpoint) / self.identity
        self._lock = threading.Lock()
        self._containers: dict[str, Container] = {}
        self._stopped = threading.Event()
        self._idle = threading.Condition()
        self._requests = 0

    def start(self, check: Callable[[], None]) -> None:
        """Start every variant and wait until all are healthy.

        Raises
        ------
        JobError
            One doesn't come up; everything started so far is stopped.
        """
        wanted = [_instance_types(variant) for variant in self._variants.values()]
        if any(types and set(types) == self._platform.without_capacity(types) for types in wanted):
            self._stopped.wait(CAPACITY_SECONDS)
            raise JobError(
                "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
                "Please retry using a different ML instance type or after some time."
            )
        try:
            for name in self._variants:
                self._start_variant(name, check)
        except BaseException:
            self.stop()
            raise
        for name in self._variants:
            self._platform.run(f"endpoint-{self._endpoint}-{name}", self._replace_dead, name)

    def stop(self) -> None:
        """Let the requests under way end, stop every program, and remove the unpacked models."""
        self.give_up()
        with self._idle:
            self._idle.wait_for(lambda: self._requests == 0, _DRAIN_SECONDS)
        with self._lock:
            containers = list(self._containers.values())
        for container in containers:
            container.child.kill()
        if not self._platform.closing.is_set():
            shutil.rmtree(self._folder, ignore_errors=True)

    def give_up(self) -> None:
        """Replace no program any more."""
        self._stopped.set()

    def enter(self) -> tuple[str, Container]:
        """The variant and program to send a request to, drawn by the weights; ``leave`` follows."""
        names = list(self._variants)
        weights = [self._variants[name].get("InitialVariantWeight", 1.0) for name in names]
        name = random.choices(names, weights)[0] if any(weights) else names[0]  # noqa: S311 - a draw, no secret
        with self._idle:
            self._requests += 1
        with self._lock:
            return name, self._containers[name]

    def leave(self) -> None:
        """The request of one ``enter`` has ended."""
        with self._idle:
            self._requests -= 1
            self._idle.notify_all()

    def describe(self) -> list[dict[str, Any]]:
        """``ProductionVariants`` of DescribeEndpoint: what runs now."""
        return [self._describe_variant(name, variant) for name, variant in self._variants.items()]

    def resize(self, variants: list[dict[str, Any]]) -> None:
        """Take over other counts and weights of the same variants; programs stay as they are."""
        with self._lock:
            self._variants = {variant["VariantName"]: variant for variant in variants}

    def _describe_variant(self, name: str, variant: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            container = self._containers.get(name)
        alive = container is not None and container.alive
        weight = variant.get("InitialVariantWeight", 1.0)
        image = self._models[variant["ModelName"]]["PrimaryContainer"]["Image"]
        described: dict[str, Any] = {
            "VariantName": name,
            "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
        }
        serverless = variant.get("ServerlessConfig")
        if serverless is None:
            count = variant.get("InitialInstanceCount", 1)
            return described | {
                "CurrentInstanceCount": count if alive else 0,
                "DesiredInstanceCount": count,
            }
        return described | {"CurrentServerlessConfig": serverless, "DesiredServerlessConfig": serverless}

    def _start_variant(self, name: str, check: Callable[[], None]) -> None:
        variant = self._variants[name]
        model = self._models[variant["ModelName"]]
        root = self._folder / name
        if not (root / "model").is_dir():
            unpack_model(self._platform, model, root)
        types = _instance_types(variant)
        container = start_container(
            self._platform,
            "endpoint",
            self._endpoint,
            model,
            root,
            environment={},
            instance_type=types[0] if types else None,
        )
        with self._lock:
            self._containers[name] = container
        seconds = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)
        try:
            container.wait_until_healthy(seconds, check)
        except JobError as failure:
            raise JobError(
                f"The primary container for production variant {name} did not pass the ping health check. Please "
                f"check CloudWatch logs for this endpoint. {failure}."
            ) from failure

    def _replace_dead(self, name: str) -> None:
        """Watch a variant's program; start another some time after it dies, as AWS replaces instances."""
        while not self._stopped.is_set():
            with self._lock:
                container = self._containers[name]
            container.child.process.wait()
            if self._stopped.wait(REPLACEMENT_SECONDS) or self._platform.closing.is_set():
                return
            try:
                self._start_variant(name, self._check_stopped)
                self._check_stopped()  # stop() may have looked for programs before this one was there
            except (JobError, ShutDownError):
                with self._lock:
                    self._containers[name].child.kill()  # the next round tries again

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise JobError("the endpoint is being deleted or updated")


def _instance_types(variant: dict[str, Any]) -> list[str]:
    pools = sorted(variant.get("InstancePools", []), key=lambda pool: pool["Priority"])
    return [pool["InstanceType"] for pool in pools] or [
        variant[key] for key in ("InstanceType",) if key in variant
    ]


def variant_instances(variants: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Instance types and counts that the variants ask for; serverless ones ask for none."""
    return [
        (types[0], variant.get("InitialInstanceCount", 1))
        for variant in variants
        if (types := _instance_types(variant))
    ]
