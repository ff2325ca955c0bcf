"""Remove all that a verification made, also what its stacks don't own, and count what is left.

Safe to repeat: what is already gone is passed over, so that a second call finishes an interrupted first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fmrec.errors import FmrecError
from fmrec.verification import deployment as deploying
from fmrec.verification.deployment import PREFIX, STACKS

JOB_LOGS = ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/TransformJobs", "/aws/sagemaker/Endpoints")
ENDPOINT_WAIT_SECONDS = 1800
RUNNING = ("InProgress", "Stopping")


def remove(session: Any, checkout: Path, assembly: Path, tell: Callable[[str], None]) -> None:
    """Stop and delete everything of the verification's own name.

    Raises
    ------
    FmrecError
        The stacks could not be destroyed.
    """
    sagemaker = session.client("sagemaker")
    _stop_executions(session)
    _stop_jobs(sagemaker)
    for name in _names(sagemaker, "list_endpoints", "Endpoints", "EndpointName"):
        tell(f"deleting endpoint {name}")
        _delete_endpoint(sagemaker, name)
    for name in _names(sagemaker, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
    for name in _names(sagemaker, "list_models", "Models", "ModelName"):
        sagemaker.delete_model(ModelName=name)
    for group in _groups(sagemaker):
        tell(f"deleting model package group {group}")
        _delete_group(sagemaker, group)
    _delete_job_logs(session.client("logs"))
    if any(_stack_exists(session, stack) for stack in STACKS):
        tell("cdk destroy")
        deploying.cdk(checkout, ("destroy", "--force"), assembly, tell)
    _delete_assets(session, assembly)


def left_behind(session: Any) -> list[str]:
    """What of the verification can still be found through the APIs, in words; nothing if all is well."""
    sagemaker = session.client("sagemaker")
    found = [f"stack {stack}" for stack in STACKS if _stack_exists(session, stack)]
    for operation, key, name, word in (
        ("list_endpoints", "Endpoints", "EndpointName", "endpoint"),
        ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", "endpoint configuration"),
        ("list_models", "Models", "ModelName", "model"),
    ):
        found += [f"{word} {each}" for each in _names(sagemaker, operation, key, name)]
    found += [f"model package group {group}" for group in _groups(sagemaker)]
    found += [f"running training job {name}" for name in _running(sagemaker, "training")]
    found += [f"running transform job {name}" for name in _running(sagemaker, "transform")]
    buckets = session.client("s3").list_buckets()["Buckets"]
    found += [f"bucket {bucket['Name']}" for bucket in buckets if bucket["Name"].startswith(PREFIX)]
    tables = session.client("dynamodb").get_paginator("list_tables").paginate()
    found += [
        f"table {name}" for page in tables for name in page["TableNames"] if name.lower().startswith(PREFIX)
    ]
    functions = session.client("lambda").get_paginator("list_functions").paginate()
    found += [
        f"function {function['FunctionName']}"
        for page in functions
        for function in page["Functions"]
        if function["FunctionName"].lower().startswith(PREFIX)
    ]
    secured = session.client("glue").get_paginator("get_security_configurations").paginate()
    found += [
        f"Glue security configuration {configuration['Name']}"
        for page in secured
        for configuration in page["SecurityConfigurations"]
        if configuration["Name"].lower().startswith(PREFIX)
    ]
    groups = session.client("logs").get_paginator("describe_log_groups").paginate()
    found += [
        f"log group {group['logGroupName']}"
        for page in groups
        for group in page["logGroups"]
        if PREFIX in group["logGroupName"].lower()
    ]
    return found


def _names(sagemaker: Any, operation: str, key: str, name: str) -> list[str]:
    pages = sagemaker.get_paginator(operation).paginate(NameContains=PREFIX)
    return [each[name] for page in pages for each in page[key] if each[name].startswith(f"{PREFIX}-")]


def _groups(sagemaker: Any) -> list[str]:
    pages = sagemaker.get_paginator("list_model_package_groups").paginate(NameContains=PREFIX)
    return [
        group["ModelPackageGroupName"]
        for page in pages
        for group in page["ModelPackageGroupSummaryList"]
        if group["ModelPackageGroupName"].startswith(f"{PREFIX}-")
    ]


def _running(sagemaker: Any, kind: str) -> Iterator[str]:
    operation, key, name = {
        "training": ("list_training_jobs", "TrainingJobSummaries", "TrainingJobName"),
        "transform": ("list_transform_jobs", "TransformJobSummaries", "TransformJobName"),
    }[kind]
    for status in RUNNING:
        for page in sagemaker.get_paginator(operation).paginate(NameContains=PREFIX, StatusEquals=status):
            yield from (job[name] for job in page[key] if job[name].startswith(f"{PREFIX}-"))


def _stop_executions(session: Any) -> None:
    stepfunctions = session.client("stepfunctions")
    for page in stepfunctions.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            if not machine["name"].lower().startswith(PREFIX):
                continue
            running = stepfunctions.get_paginator("list_executions").paginate(
                stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING"
            )
            for executions in running:
                for execution in executions["executions"]:
                    stepfunctions.stop_execution(
                        executionArn=execution["executionArn"], cause="the verification is being removed"
                    )


def _stop_jobs(sagemaker: Any) -> None:
    for name in list(_running(sagemaker, "training")):
        sagemaker.stop_training_job(TrainingJobName=name)
    for name in list(_running(sagemaker, "transform")):
        sagemaker.stop_transform_job(TransformJobName=name)


def _delete_endpoint(sagemaker: Any, name: str) -> None:
    """Delete an endpoint, waiting while it is being created or updated, and until it is gone."""
    deadline = time.monotonic() + ENDPOINT_WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            status = sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
            if status not in {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}:
                sagemaker.delete_endpoint(EndpointName=name)
        except sagemaker.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                return
            raise
        time.sleep(1)
    raise FmrecError(f"endpoint {name} is still there after {ENDPOINT_WAIT_SECONDS} s: delete it by hand")


def _delete_group(sagemaker: Any, group: str) -> None:
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    for package in [entry for page in pages for entry in page["ModelPackageSummaryList"]]:
        sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)


def _delete_job_logs(logs: Any) -> None:
    """Delete the log streams of the verification's own jobs in SageMaker's groups, which all share."""
    for group in JOB_LOGS:
        try:
            pages = logs.get_paginator("describe_log_streams").paginate(
                logGroupName=group, logStreamNamePrefix=f"{PREFIX}-"
            )
            for stream in [each["logStreamName"] for page in pages for each in page["logStreams"]]:
                logs.delete_log_stream(logGroupName=group, logStreamName=stream)
        except logs.exceptions.ResourceNotFoundException:
            continue


def _stack_exists(session: Any, stack: str) -> bool:
    cloudformation = session.client("cloudformation")
    try:
        cloudformation.describe_stacks(StackName=stack)
    except cloudformation.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return False
        raise
    return True


def _delete_assets(session: Any, assembly: Path) -> None:
    """Delete what this deployment uploaded to the CDK's bucket: the templates, which name its stacks.

    Code that other deployments of the same version share stays; the CDK's own garbage collection
    (``cdk gc``) removes it when nobody uses it.
    """
    s3 = session.client("s3")
    account = session.client("sts").get_caller_identity()["Account"]
    for manifest in assembly.glob("*.assets.json"):
        for key, asset in json.loads(manifest.read_text())["files"].items():
            for place in asset["destinations"].values():
                if place["objectKey"] == f"{key}.json":
                    bucket = place["bucketName"].replace("${AWS::AccountId}", account)
                    bucket = bucket.replace("${AWS::Region}", session.region_name)
                    s3.delete_object(Bucket=bucket, Key=place["objectKey"])
