"""CloudFormation: resource types that the emulator does not know or gets wrong.

Types with an action in the local cloud are really created and deleted; the others are recorded, so
that a stack which has them can be deployed, and tested in its template.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from localcloud import roles, wire
from localcloud.faults import ServiceFault
from localcloud.home import ACCESS_KEY
from localcloud.hooks.binding import FUNCTION, HookError, find, replace

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

_MODULE = "ministack.services.cloudformation.provisioners"

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]

RECORDED = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Athena::NamedQuery",
    "AWS::CE::AnomalyMonitor",
    "AWS::CE::AnomalySubscription",
    "AWS::CloudTrail::Trail",
    "AWS::CloudWatch::AnomalyDetector",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::InsightRule",
    "AWS::Events::Archive",
    "AWS::Logs::Delivery",
    "AWS::Logs::DeliveryDestination",
    "AWS::Logs::DeliverySource",
    "AWS::Logs::QueryDefinition",
    "AWS::ResourceGroups::Group",
    "AWS::ServiceCatalogAppRegistry::Application",
    "AWS::StepFunctions::StateMachineAlias",
    "AWS::StepFunctions::StateMachineVersion",
    "AWS::WAFv2::WebACLAssociation",
    "AWS::XRay::Group",
    "AWS::XRay::SamplingRule",
)
"""Types that a stack may have, but that do nothing here."""


class _SageMakerType(NamedTuple):
    """A SageMaker resource type whose properties are the parameters of a Create operation."""

    name: str
    arn: str
    longest_name: int


_SAGEMAKER_TYPES = {
    "Model": _SageMakerType("ModelName", "ModelArn", 63),
    "EndpointConfig": _SageMakerType("EndpointConfigName", "EndpointConfigArn", 63),
    "Endpoint": _SageMakerType("EndpointName", "EndpointArn", 63),
    "ModelPackageGroup": _SageMakerType("ModelPackageGroupName", "ModelPackageGroupArn", 63),
}


def install(cloud: Cloud) -> None:
    """Register the types."""
    handlers = find(_MODULE, "_RESOURCE_HANDLERS", dict)
    physical_name = find(_MODULE, "_physical_name", FUNCTION)
    for resource_type in RECORDED:
        _register(handlers, resource_type, _recorded(physical_name))
    for kind, about in _SAGEMAKER_TYPES.items():
        _register(handlers, f"AWS::SageMaker::{kind}", _sagemaker(cloud, kind, about, physical_name))
    _register(handlers, "AWS::Glue::SecurityConfiguration", _security_configuration(physical_name))
    handlers["Custom::S3AutoDeleteObjects"] = _auto_delete_objects(cloud)
    bucket = handlers.get("AWS::S3::Bucket")
    if bucket is None or "delete" not in bucket:
        raise HookError(f"{_MODULE}._RESOURCE_HANDLERS has no deletion of AWS::S3::Bucket any more")
    bucket["delete"] = _delete_if_empty(bucket["delete"])
    replace(_MODULE, "_cw_metric_alarm_record", ("name", "props"), _with_metric_math)


def _register(handlers: dict[str, Any], resource_type: str, handler: dict[str, Any]) -> None:
    if resource_type in handlers:
        raise HookError(
            f"the emulator knows {resource_type} now; drop it from localcloud/hooks/cloudformation.py"
        )
    handlers[resource_type] = handler


def _recorded(physical_name: Callable[..., str]) -> dict[str, Any]:
    def create(logical_id: str, props: Properties, stack_name: str) -> Created:
        name = physical_name(stack_name, logical_id, max_len=255)
        return name, {"Arn": f"arn:aws:localcloud:::{name}", "Name": name}

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Created:
        return physical_id, {"Arn": f"arn:aws:localcloud:::{physical_id}", "Name": physical_id}

    return {"create": create, "update": update, "delete": lambda physical_id, props: None}


def _sagemaker(
    cloud: Cloud, kind: str, about: _SageMakerType, physical_name: Callable[..., str]
) -> dict[str, Any]:
    def call(operation: str, document: dict[str, Any]) -> dict[str, Any]:
        shape = wire.operation_model("sagemaker", operation).input_shape
        parameters = wire.request("sagemaker", operation, _typed(shape, document))
        return cloud.sagemaker.call(operation, parameters)

    def create(logical_id: str, props: Properties, stack_name: str) -> Created:
        # In lower case, since the resource is found by its ARN again, which is.
        default = physical_name(stack_name, logical_id, lowercase=True, max_len=about.longest_name)
        name = props.get(about.name) or default
        answer = _or_value_error(call, f"Create{kind}", props | {about.name: name})
        return answer[about.arn], {about.arn: answer[about.arn], about.name: name}

    def delete(physical_id: str, props: Properties) -> None:
        name = props.get(about.name) or physical_id.rpartition("/")[2]
        _or_value_error(call, f"Delete{kind}", {about.name: name})

    return {"create": create, "delete": delete}


def _or_value_error(
    call: Callable[..., dict[str, Any]], operation: str, document: dict[str, Any]
) -> dict[str, Any]:
    """The emulator fails a resource on ValueError, with its text as the reason."""
    try:
        return call(operation, document)
    except ServiceFault as fault:
        raise ValueError(f"{fault.message} (Service: SageMaker, Error Code: {fault.code})") from fault


def _typed(shape: Any, value: Any) -> Any:
    """Template values, where numbers and booleans may be text, as the API wants them."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members
        return {
            name: _typed(members[name], entry) if name in members else entry for name, entry in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_typed(shape.member, entry) for entry in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _typed(shape.value, entry) for key, entry in value.items()}
    return _typed_scalar(shape.type_name, value) if isinstance(value, str) else value


def _typed_scalar(kind: str, text: str) -> Any:
    if kind in ("integer", "long") and text.lstrip("-").isdigit():
        return int(text)
    if kind in ("float", "double"):
        return float(text)
    return text == "true" if kind == "boolean" else text


def _security_configuration(physical_name: Callable[..., str]) -> dict[str, Any]:
    make = find("ministack.services.glue", "_create_security_configuration", FUNCTION)
    drop = find("ministack.services.glue", "_delete_security_configuration", FUNCTION)

    def create(logical_id: str, props: Properties, stack_name: str) -> Created:
        name = props.get("Name") or physical_name(stack_name, logical_id, max_len=255)
        status, _, body = make(
            {"Name": name, "EncryptionConfiguration": props.get("EncryptionConfiguration", {})}
        )
        if status != 200:
            raise ValueError(body.decode())
        return name, {}

    return {"create": create, "delete": lambda physical_id, props: drop({"Name": physical_id}) and None}


def _auto_delete_objects(cloud: Cloud) -> dict[str, Any]:
    """What CDK's ``auto_delete_objects`` does on AWS with a Node function that needs the AWS SDK."""

    def create(logical_id: str, props: Properties, stack_name: str) -> Created:
        return f"auto-delete-objects-{props['BucketName']}", {}

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Created:
        if old.get("BucketName") != new.get("BucketName"):
            _empty(cloud, old["BucketName"])
        return f"auto-delete-objects-{new['BucketName']}", {}

    return {
        "create": create,
        "update": update,
        "delete": lambda physical_id, props: _empty(cloud, props["BucketName"]),
    }


def _empty(cloud: Cloud, bucket: str) -> None:
    from botocore.exceptions import ClientError

    client = roles.client(
        "s3", {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": ACCESS_KEY}, cloud.record
    )
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = itertools.chain(page.get("Versions", ()), page.get("DeleteMarkers", ()))
            objects = [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in found]
            if objects:
                client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise


def _delete_if_empty(original: Callable[[str, Properties], None]) -> Callable[[str, Properties], None]:
    """A bucket that holds objects can't be deleted; an empty one leaves no folder behind."""
    buckets = find("ministack.services.s3", "_buckets", object)
    delete = find("ministack.services.s3", "_delete_bucket", FUNCTION)

    def handle(physical_id: str, props: Properties) -> None:
        if physical_id in buckets:
            status, _, _ = delete(physical_id)
            if status == 409:
                raise ValueError(
                    f"The bucket you tried to delete is not empty (Service: S3, Status Code: 409, "
                    f"Error Code: BucketNotEmpty, bucket {physical_id})"
                )
        original(physical_id, props)

    return handle


def _with_metric_math(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Keep an alarm on a metric expression; it stays in INSUFFICIENT_DATA, as nothing computes it."""

    def record(name: str, props: Properties) -> dict[str, Any]:
        if not props.get("Metrics"):
            return original(name, props)
        plain = {key: value for key, value in props.items() if key != "Metrics"}
        return original(name, plain | {"MetricName": f"metric math of {name}", "Namespace": "localcloud"}) | {
            "Metrics": props["Metrics"]
        }

    return record
