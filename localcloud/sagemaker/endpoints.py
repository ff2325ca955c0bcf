"""Endpoints: created, updated with the old fleet serving until the new one is healthy, rolled back, deleted.

An update counts both fleets against the quotas, as AWS builds the new one next to the old one
(SageMaker developer guide, "Blue/green deployments").
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.capacities import TARGET, changed, check_scaled, resource_parts, retained
from localcloud.sagemaker.children import ShutDownError
from localcloud.sagemaker.container import Container
from localcloud.sagemaker.deployments import Deployment, deployment, rolled_back
from localcloud.sagemaker.fleets import Fleet, variant_instances
from localcloud.sagemaker.limits import Demand, instance_demands, serverless_demands
from localcloud.sagemaker.lists import list_records, pick
from localcloud.sagemaker.models import EndpointConfigs, Models
from localcloud.sagemaker.platform import FAILURE_REASON_LENGTH, JobError, Platform
from localcloud.sagemaker.records import Record, now, public

KIND = "endpoint"
_ALARM_SECONDS = 0.1
"""How often a deployment looks at its alarms."""
_IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class Endpoints:
    """CreateEndpoint, UpdateEndpoint, DescribeEndpoint, ListEndpoints, DeleteEndpoint."""

    def __init__(self, platform: Platform, models: Models, configs: EndpointConfigs) -> None:
        self._platform = platform
        self._models = models
        self._configs = configs
        self._lock = threading.Lock()
        self._fleets: dict[str, Fleet] = {}
        self._shifts: dict[str, tuple[Fleet, float]] = {}
        """During an update: the new fleet, and its share of the requests."""
        self._started: weakref.WeakSet[Fleet] = weakref.WeakSet()

    def create(self, parameters: dict[str, Any]) -> Record:
        """Accept or refuse an endpoint and start its fleet."""
        name = parameters["EndpointName"]
        arn = self._platform.account.arn(KIND, name)
        plan = self._plan(parameters["EndpointConfigName"])
        with self._platform.records.lock:
            if self._platform.records.get(KIND, name) is not None:
                raise ServiceFault("ValidationException", f'Cannot create already existing endpoint "{arn}".')
            self._platform.limits.reserve((KIND, name), _demands(plan["variants"]))
            moment = now()
            record = {
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": parameters["EndpointConfigName"],
                "EndpointStatus": "Creating",
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "LastDeploymentConfig": parameters.get("DeploymentConfig"),
                "_plan": plan,
            }
            self._platform.records.put(KIND, name, record)
        self._platform.run(f"endpoint-{name}-create", self._create, name, arn, plan)
        return {"EndpointArn": arn}

    def update(self, parameters: dict[str, Any]) -> Record:
        """Accept or refuse a new configuration and start its fleet while the old one serves."""
        name = parameters["EndpointName"]
        arn = self._platform.account.arn(KIND, name)
        plan = self._plan(parameters["EndpointConfigName"])
        with self._platform.records.lock:
            record = self._existing(name)
            status = record["EndpointStatus"]
            if status in _IN_PROGRESS:
                raise ServiceFault("ValidationException", f'Cannot update in-progress endpoint "{arn}".')
            if status != "InService":
                raise ServiceFault(
                    "ValidationException", f'Cannot update endpoint "{arn}" in status {status}.'
                )
            check_scaled(record["_plan"]["variants"], plan["variants"], self.scaled(name))
            plan["variants"] = retained(record["_plan"]["variants"], plan["variants"], parameters)
            if _serverless(plan) and not _serverless(record["_plan"]):
                raise ServiceFault(
                    "ValidationException",
                    f'Cannot update endpoint "{arn}": an instance-based endpoint can\'t be made serverless.',
                )
            guardrails = self._guardrails(parameters, record, plan)
            self._platform.limits.reserve(("endpoint-update", name), _demands(plan["variants"]))
            self._platform.records.update(
                KIND,
                name,
                EndpointStatus="Updating",
                FailureReason=None,
                LastDeploymentConfig=parameters.get("DeploymentConfig"),
            )
        self._platform.run(
            f"endpoint-{name}-update",
            self._update,
            name,
            plan,
            parameters["EndpointConfigName"],
            guardrails,
        )
        return {"EndpointArn": arn}

    def set_capacities(self, parameters: dict[str, Any]) -> Record:
        """UpdateEndpointWeightsAndCapacities: at once here, some minutes on AWS."""
        name = parameters["EndpointName"]
        with self._platform.records.lock:
            record = self._existing(name)
            if record["EndpointStatus"] != "InService":
                raise ServiceFault(
                    "ValidationException", f'Cannot update in-progress endpoint "{record["EndpointArn"]}".'
                )
            variants = changed(record["_plan"]["variants"], parameters["DesiredWeightsAndCapacities"])
            self._platform.limits.reserve((KIND, name), _demands(variants))
            self._platform.records.update(KIND, name, _plan=record["_plan"] | {"variants": variants})
            with self._lock:
                self._fleets[name].resize(variants)
        return {"EndpointArn": record["EndpointArn"]}

    def scaled(self, name: str) -> list[str]:
        """Variants that are scalable targets of Application Auto Scaling."""
        targets = (resource_parts(target["ResourceId"]) for target in self._platform.records.every(TARGET))
        return [target[1] for target in targets if target is not None and target[0] == name]

    def describe(self, parameters: dict[str, Any]) -> Record:
        """The endpoint's state; while nothing runs yet, without variants."""
        name = parameters["EndpointName"]
        described = public(self._existing(name))
        with self._lock:
            fleet = self._fleets.get(name)
        if fleet is not None:
            described["ProductionVariants"] = fleet.describe()
        return described

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of endpoints."""
        return list_records(
            self._platform.records.every(KIND),
            parameters,
            answer="Endpoints",
            name_key="EndpointName",
            status_key="EndpointStatus",
            summarise=pick(
                "EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"
            ),
        )

    def delete(self, parameters: dict[str, Any]) -> Record:
        """Stop an endpoint and forget it."""
        name = parameters["EndpointName"]
        with self._platform.records.lock:
            record = self._existing(name)
            if record["EndpointStatus"] in _IN_PROGRESS:
                raise ServiceFault(
                    "ValidationException", f'Cannot update in-progress endpoint "{record["EndpointArn"]}".'
                )
            self._platform.records.update(KIND, name, EndpointStatus="Deleting")
        self._platform.run(f"endpoint-{name}-delete", self._delete, name)
        return {}

    @contextlib.contextmanager
    def serving(self, name: str) -> Iterator[tuple[str, Container]]:
        """The variant and container that an invocation goes to, which is not stopped before the block ends.

        Raises
        ------
        ServiceFault
            ``ValidationError``: there is no such endpoint, or it serves nothing yet.
        """
        with self._lock:
            fleet = self._fleets.get(name)
            new, share = self._shifts.get(name, (None, 0.0))
            if new is not None and random.random() < share:  # noqa: S311 - a draw, no secret
                fleet = new
            entered = None if fleet is None else fleet.enter()
        if fleet is None or entered is None:
            raise ServiceFault(
                "ValidationError", f"Endpoint {name} of account {self._platform.account.number} not found."
            )
        try:
            yield entered
        finally:
            fleet.leave()

    def give_up(self) -> None:
        """The local cloud stops: no program is replaced any more."""
        for fleet in list(self._started):
            fleet.give_up()

    def recover(self) -> None:
        """After a restart: start the fleets of endpoints that were serving; the others have failed."""
        for record in self._platform.records.every(KIND):
            name, status = record["EndpointName"], record["EndpointStatus"]
            if status in ("InService", "Updating", "RollingBack"):
                self._platform.limits.hold((KIND, name), _demands(record["_plan"]["variants"]))
                self._platform.records.update(KIND, name, EndpointStatus="SystemUpdating")
                self._platform.run(f"endpoint-{name}-recover", self._recover, name, record["_plan"])
            elif status == "Deleting":
                self._platform.records.delete(KIND, name)
            elif status == "Creating":
                self._fail(name, "The local cloud was stopped while the endpoint was created.")

    def _existing(self, name: str) -> Record:
        arn = self._platform.account.arn(KIND, name)
        return self._platform.existing(KIND, name, f'Could not find endpoint "{arn}".')

    def _plan(self, config_name: str) -> dict[str, Any]:
        """Variants and models as they are now, so that deleting them later changes nothing here."""
        config = self._configs.existing(config_name)
        variants = config["ProductionVariants"]
        return {
            "variants": variants,
            "models": {
                variant["ModelName"]: self._models.existing(variant["ModelName"]) for variant in variants
            },
        }

    def _fleet(self, name: str, plan: dict[str, Any], identity: str | None = None) -> Fleet:
        fleet = Fleet(self._platform, name, plan["variants"], plan["models"], identity)
        self._started.add(fleet)
        return fleet

    def _create(self, name: str, arn: str, plan: dict[str, Any]) -> None:
        fleet = self._fleet(name, plan)
        try:
            fleet.start(lambda: None)
        except (JobError, ShutDownError) as failure:
            self._fail(name, str(failure))
            return
        self._serve(name, fleet, plan)

    def _guardrails(self, parameters: dict[str, Any], record: Record, plan: dict[str, Any]) -> Deployment:
        guardrails = deployment(
            parameters.get("DeploymentConfig"),
            sum(count for _, count in variant_instances(plan["variants"])),
            serverless=_serverless(plan) or _serverless(record["_plan"]),
        )
        missing = self._platform.cloudwatch.missing(guardrails.alarms)
        if missing:
            raise ServiceFault(
                "ValidationException", f"Could not find CloudWatch alarms {', '.join(missing)}."
            )
        return guardrails

    def _update(self, name: str, plan: dict[str, Any], config_name: str, guardrails: Deployment) -> None:
        fleet = self._fleet(name, plan)
        try:
            fleet.start(lambda: None)
            self._shift(name, fleet, guardrails)
        except (JobError, ShutDownError) as failure:
            # The old fleet never stopped serving: rolling back is going on with it.
            with self._lock:
                self._shifts.pop(name, None)
            self._platform.records.update(KIND, name, EndpointStatus="RollingBack")
            fleet.stop()
            self._platform.limits.release(("endpoint-update", name))
            self._platform.records.update(
                KIND, name, EndpointStatus="InService", FailureReason=str(failure)[:FAILURE_REASON_LENGTH]
            )
            return
        with self._lock:
            old, self._fleets[name] = self._fleets.get(name), fleet
            self._shifts.pop(name, None)
        if old is not None:
            old.stop()
        self._platform.limits.hold((KIND, name), _demands(plan["variants"]))
        self._platform.limits.release(("endpoint-update", name))
        self._serve(name, fleet, plan, EndpointConfigName=config_name)

    def _shift(self, name: str, fleet: Fleet, guardrails: Deployment) -> None:
        """Give the new fleet its share of the requests, step by step, while no alarm fires.

        Raises
        ------
        JobError
            An alarm has fired.
        ShutDownError
            The local cloud stops.
        """
        for share, seconds in guardrails.steps():
            with self._lock:
                self._shifts[name] = (fleet, share)
            until = time.monotonic() + seconds * self._platform.wait_scale
            while True:
                if alarms := self._platform.cloudwatch.in_alarm(guardrails.alarms):
                    raise JobError(rolled_back(alarms))
                left = until - time.monotonic()
                if left <= 0:
                    break
                if self._platform.closing.wait(min(left, _ALARM_SECONDS)):
                    raise ShutDownError("the local cloud stops")

    def _recover(self, name: str, plan: dict[str, Any]) -> None:
        fleet = self._fleet(name, plan, plan.get("fleet"))
        try:
            fleet.start(lambda: None)
        except (JobError, ShutDownError) as failure:
            self._fail(name, str(failure))
            return
        self._serve(name, fleet, plan)

    def _serve(self, name: str, fleet: Fleet, plan: dict[str, Any], **changes: Any) -> None:
        with self._lock:
            self._fleets[name] = fleet
        self._platform.records.update(
            KIND,
            name,
            EndpointStatus="InService",
            FailureReason=None,
            _plan=plan | {"fleet": fleet.identity},
            **changes,
        )

    def _fail(self, name: str, reason: str) -> None:
        self._platform.limits.release((KIND, name))
        self._platform.records.update(
            KIND, name, EndpointStatus="Failed", FailureReason=reason[:FAILURE_REASON_LENGTH]
        )

    def _delete(self, name: str) -> None:
        with self._lock:
            fleet = self._fleets.pop(name, None)
        if fleet is not None:
            fleet.stop()
        self._platform.limits.release((KIND, name))
        self._platform.records.delete(KIND, name)


def _demands(variants: list[dict[str, Any]]) -> list[Demand]:
    serverless = [variant["ServerlessConfig"] for variant in variants if "ServerlessConfig" in variant]
    return instance_demands("endpoint", variant_instances(variants)) + serverless_demands(serverless)


def _serverless(plan: dict[str, Any]) -> bool:
    return any("ServerlessConfig" in variant for variant in plan["variants"])
