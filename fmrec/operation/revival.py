"""Bring back an endpoint that was deleted: with the configuration that served the champion last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from fmrec.dataset.names import DEFAULT
from fmrec.errors import InputError, ServiceError
from fmrec.operation.endpoints import names_of
from fmrec.operation.status import read_report
from fmrec.predictions import served_model
from fmrec.registry import champion

RANKS, SCORES = "knn", "fm"
POLL_SECONDS, MOST_POLLS = 15, 240


def start(sagemaker: Any, scaling: Any, prefix: str, bucket: str, name: str) -> str:
    """Create an endpoint of the deployment again and wait until it serves; return its configuration.

    The configuration, and between how many instances the endpoint scales, are those that the report of the
    run names that has made the champion serve.

    Parameters
    ----------
    scaling
        A client of Application Auto Scaling.

    Raises
    ------
    InputError
        There is such an endpoint already, the champion had none, or its configuration has been deleted.
    ServiceError
        The endpoint doesn't come into service.
    """
    if name in names_of(sagemaker, prefix):
        raise InputError(f"the endpoint {name} exists already: see `fmrec endpoints` for how it stands")
    served = _served(prefix, bucket, name)
    config = str(served["config"])
    try:
        arn = sagemaker.describe_endpoint_config(EndpointConfigName=config)["EndpointConfigArn"]
    except ClientError as error:
        raise InputError(
            f"the configuration {config} of the endpoint {name} can't be read ({error}): start a run with "
            "`fmrec run`"
        ) from error
    tags = [
        tag for page in sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn) for tag in page["Tags"]
    ]
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, Tags=tags)
    try:
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=name, WaiterConfig={"Delay": POLL_SECONDS, "MaxAttempts": MOST_POLLS}
        )
    except WaiterError as error:
        reason = error.last_response.get("FailureReason") or str(error)
        raise ServiceError(
            f"the endpoint {name} doesn't come into service: {reason}. `fmrec endpoints --stop {name}` removes it"
        ) from error
    if served.get("scaling"):
        register(scaling, name, served["scaling"])
    return config


def register(client: Any, name: str, scaling: Mapping[str, Any]) -> None:
    """Let the number of instances follow the calls again, as the run had set it."""
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{scaling['variant']}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    client.register_scalable_target(
        **target, MinCapacity=scaling["minimum_instances"], MaxCapacity=scaling["maximum_instances"]
    )
    client.put_scaling_policy(**target, **scaling["policy"])


def _served(prefix: str, bucket: str, name: str) -> Mapping[str, Any]:
    """What the report of the champion's run says of the endpoint."""
    dataset, run = _champion_run(prefix, bucket, name)
    report = read_report(bucket, run)
    endpoint: Mapping[str, Any] = (report or {}).get("endpoint") or {}
    if endpoint.get("name") != name or not endpoint.get("config"):
        raise InputError(
            f"run {run}, which made what serves of the data set {dataset}, made no endpoint {name}: start a run with "
            "`fmrec run`"
        )
    return endpoint


def _champion_run(prefix: str, bucket: str, name: str) -> tuple[str, str]:
    """The data set of an endpoint, and the execution that made its champion serve."""
    middle, _, end = name.removeprefix(f"{prefix}-").rpartition("-")
    dataset = middle or DEFAULT
    if not name.startswith(f"{prefix}-") or end not in (RANKS, SCORES):
        raise InputError(
            f"{name!r} is no endpoint of this deployment: expected {prefix}-{RANKS} or {prefix}-{SCORES}, or one of a "
            f"data set, such as {prefix}-books-{RANKS}"
        )
    if end == SCORES:
        return dataset, served_model.read(served_model.place(f"s3://{bucket}", dataset)).run
    record = champion.recorded(champion.place(f"s3://{bucket}", dataset))
    if record is None:
        raise InputError(f"no model of the data set {dataset} serves yet: start a run with `fmrec run`")
    return dataset, record.execution
