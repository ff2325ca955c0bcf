"""Questions to the account that cost nothing, or the minutes of a small training job.

Each probe calls AWS and answers with plain data; what it can't find out ends in `Answer.unanswered` with
the reason. States that would start a job are tried with Step Functions' TestState, which runs one state
without a state machine, with the deployed workflow's role.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from fmrec.artifacts import layout
from fmrec.errors import FmrecError, InputError
from fmrec.instances import account
from fmrec.instances.catalogue import catalogue
from fmrec.instances.quotas import type_quota
from fmrec.storage import object_store
from fmrec.verification import collection
from fmrec.verification.deployment import PREFIX, Deployment
from fmrec.verification.evidence import Answer, Evidence

Probe = Callable[[Deployment, Evidence], Any]
NEWER_FAMILIES = ("ml.m7i.large", "ml.m6i.large")
JOB_MINUTES = 20
RATING = "predict-rating"
JSONLINES = "application/jsonlines"
NOT_RUN = "States.Runtime"
"""TestState's error for a state that it can't run."""
ENDED = ("Completed", "Failed", "Stopped")


def ask(deployment: Deployment, evidence: Evidence, tell: Callable[[str], None]) -> None:
    """Put every probe's answer into the evidence; a probe that fails leaves the reason."""
    from botocore.exceptions import BotoCoreError, ClientError

    for name, probe in PROBES.items():
        tell(name)
        try:
            evidence.answers[name] = Answer(probe(deployment, evidence))
        except (BotoCoreError, ClientError, FmrecError, OSError, KeyError, LookupError) as error:
            evidence.answers[name] = Answer(unanswered=f"{type(error).__name__}: {error}")


def test_state(deployment: Deployment, resource: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run one Task state as the workflow would; return TestState's answer."""
    client = deployment.client("stepfunctions")
    machine = client.describe_state_machine(stateMachineArn=deployment.outputs["StateMachineArn"])
    partition = deployment.outputs["StateMachineArn"].split(":")[1]
    definition = {
        "Type": "Task",
        "Resource": f"arn:{partition}:states:::{resource}",
        "Parameters": arguments,
        "End": True,
    }
    answer: dict[str, Any] = client.test_state(
        definition=json.dumps(definition), roleArn=machine["roleArn"], input="{}"
    )
    if answer.get("error") == NOT_RUN:
        raise InputError(f"TestState did not run {resource}: {answer.get('cause')}")
    return answer


def refusal(deployment: Deployment, evidence: Evidence) -> dict[str, str]:
    """Ask for a training instance whose quota is 0, through the workflow's own integration."""
    known, _ = account.observe(account.connect(region=deployment.session.region_name))
    types = [offer.name for offer in catalogue() if known.quotas.get(type_quota("training", offer.name)) == 0]
    if not types:
        raise InputError("no training quota of this account is known to be 0, so nothing is refused")
    request = _small_training(deployment, evidence, "refusal", instance_type=types[0])
    answer = test_state(deployment, "sagemaker:createTrainingJob", request)
    if answer["status"] == "SUCCEEDED":
        deployment.client("sagemaker").stop_training_job(TrainingJobName=request["TrainingJobName"])
        raise InputError(f"{types[0]} was started although its quota is read as 0")
    return {"error": answer["error"], "cause": answer["cause"], "quota": type_quota("training", types[0])}


def sdk_error(deployment: Deployment, _evidence: Evidence) -> str:
    """The name of an error that SageMaker's API model doesn't name: a missing endpoint's."""
    answer = test_state(
        deployment,
        "aws-sdk:sagemaker:describeEndpoint",
        {"EndpointName": f"{PREFIX}-none-{uuid.uuid4().hex[:8]}"},
    )
    error: str = answer["error"]
    return error


def client_token(deployment: Deployment, evidence: Evidence) -> bool:
    """Whether CreateModelPackage, called twice with one ClientToken, answers with the same ARN."""
    client = deployment.client("sagemaker")
    group = f"{PREFIX}-probe"
    report = evidence.reports["recommend"]
    package = client.describe_model_package(ModelPackageName=report["model_package"]["arn"])
    specification = {
        **package["InferenceSpecification"],
        "Containers": [
            {key: container[key] for key in ("Image", "ModelDataUrl")}
            for container in package["InferenceSpecification"]["Containers"]
        ],
    }
    client.create_model_package_group(ModelPackageGroupName=group)
    arns: list[str] = []
    try:
        token = str(uuid.uuid4())
        for _ in range(2):
            created = client.create_model_package(
                ModelPackageGroupName=group, ClientToken=token, InferenceSpecification=specification
            )
            arns.append(created["ModelPackageArn"])
    finally:
        for arn in set(arns):
            client.delete_model_package(ModelPackageName=arn)
        client.delete_model_package_group(ModelPackageGroupName=group)
    return arns[0] == arns[1]


def registry_missing(deployment: Deployment, _evidence: Evidence) -> str:
    """What describing a missing group says."""
    client = deployment.client("sagemaker")
    try:
        client.describe_model_package_group(ModelPackageGroupName=f"{PREFIX}-none-{uuid.uuid4().hex[:8]}")
    except client.exceptions.ClientError as error:
        return str(error)
    raise InputError("a group of a random name exists")


def registry_exists(deployment: Deployment, evidence: Evidence) -> str:
    """What creating an existing group says."""
    client = deployment.client("sagemaker")
    try:
        client.create_model_package_group(
            ModelPackageGroupName=evidence.reports["recommend"]["model_package"]["group"]
        )
    except client.exceptions.ClientError as error:
        return str(error)
    raise InputError("the group was created a second time")


def transform_price(deployment: Deployment, _evidence: Evidence) -> float | None:
    """The batch transform rate of ml.m5.large as the Pricing API lists it; None where there is none."""
    clients = account.connect(region=deployment.session.region_name)
    if clients.pricing is None:
        raise InputError("this partition has no Pricing API")
    _, prices = account.observe(clients)
    if "table" in prices.source:
        raise InputError(f"the Pricing API didn't answer: prices are from the {prices.source}")
    inferred = any("transform" in note for note in prices.notes)
    return None if inferred else prices.of("transform", "ml.m5.large")


def blank_lines(deployment: Deployment, _evidence: Evidence) -> int:
    """Blank lines in what batch transform wrote for the held-out pairs."""
    folder = deployment.of_run(RATING, layout.SCORES)
    found = 0
    for stored in object_store.list_objects(folder):
        found += sum(not line.strip() for line in object_store.read_bytes(stored.uri).splitlines())
    return found


def jsonlines(deployment: Deployment, _evidence: Evidence) -> bool:
    """Whether the FM endpoint answers two lines of JSON with two lines."""
    manifest = json.loads(object_store.read_bytes(deployment.of_run(RATING, layout.ENCODED, layout.MANIFEST)))
    width = manifest["feature_dim"]
    line = json.dumps({"data": {"features": {"keys": [0], "shape": [width], "values": [1]}}})
    answer = deployment.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=deployment.outputs["FmEndpointName"],
        ContentType=JSONLINES,
        Accept=JSONLINES,
        Body=f"{line}\n{line}\n".encode(),
    )
    lines: list[bytes] = [part for part in answer["Body"].read().splitlines() if part.strip()]
    return len(lines) == 2


def fastfile(deployment: Deployment, evidence: Evidence) -> str:
    """How a small training with FastFile ends."""
    request = _small_training(deployment, evidence, "fastfile")
    for channel in request["InputDataConfig"]:
        channel["InputMode"] = "FastFile"
    return _train(deployment, request)


def newer_family(deployment: Deployment, evidence: Evidence) -> str:
    """How a small training on an instance of a newer family ends."""
    known, _ = account.observe(account.connect(region=deployment.session.region_name))
    for instance_type in NEWER_FAMILIES:
        if (known.quotas.get(type_quota("training", instance_type)) or 0) > 0:
            return _train(
                deployment, _small_training(deployment, evidence, "family", instance_type=instance_type)
            )
    raise InputError(f"the account has no training quota for {' or '.join(NEWER_FAMILIES)}")


def few_rows(deployment: Deployment, evidence: Evidence) -> str:
    """How a training ends whose mini-batches are larger than its data."""
    request = _small_training(deployment, evidence, "few-rows")
    request["HyperParameters"]["mini_batch_size"] = "1000000"
    return _train(deployment, request)


def _small_training(
    deployment: Deployment, evidence: Evidence, what: str, *, instance_type: str | None = None
) -> dict[str, Any]:
    """Parameters of CreateTrainingJob: one epoch on the held-out rows of the rating run."""
    sagemaker = deployment.client("sagemaker")
    report = evidence.reports["predict-rating"]
    job = sagemaker.describe_training_job(TrainingJobName=report["jobs"]["fm_training"]["name"])
    source = next(channel for channel in job["InputDataConfig"] if channel["ChannelName"] == "test")
    request: dict[str, Any] = {
        "TrainingJobName": f"{PREFIX}-{what}-{uuid.uuid4().hex[:8]}",
        "AlgorithmSpecification": {
            "TrainingImage": job["AlgorithmSpecification"]["TrainingImage"],
            "TrainingInputMode": "File",
        },
        "RoleArn": job["RoleArn"],
        "InputDataConfig": [{**source, "ChannelName": "train"}],
        "OutputDataConfig": {
            "S3OutputPath": f"{deployment.data}/{layout.MODELS}",
            **(
                {"KmsKeyId": job["OutputDataConfig"]["KmsKeyId"]}
                if job["OutputDataConfig"].get("KmsKeyId")
                else {}
            ),
        },
        "ResourceConfig": {
            key: value
            for key, value in job["ResourceConfig"].items()
            if key in {"InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId"}
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": JOB_MINUTES * 60},
        "HyperParameters": {**job["HyperParameters"], "epochs": "1"},
        "Tags": [{"Key": "fmrec", "Value": PREFIX}],
    }
    if instance_type:
        request["ResourceConfig"]["InstanceType"] = instance_type
    return request


def _train(deployment: Deployment, request: dict[str, Any]) -> str:
    """Start a job, wait for its end and return its status; a job that takes too long is stopped."""
    sagemaker = deployment.client("sagemaker")
    sagemaker.create_training_job(**request)
    name = request["TrainingJobName"]
    try:
        deadline = time.monotonic() + (JOB_MINUTES + 15) * 60
        while time.monotonic() < deadline:
            job = sagemaker.describe_training_job(TrainingJobName=name)
            status: str = job["TrainingJobStatus"]
            if status in ENDED:
                reason = job.get("FailureReason", "")
                return f"{status}: {reason}" if reason else status
            time.sleep(POLL_SECONDS)
        return "still running after its time"
    finally:
        if sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress":
            sagemaker.stop_training_job(TrainingJobName=name)


POLL_SECONDS = 5.0
PROBES: dict[str, Probe] = {
    "artifact_storage": collection.artifact_storage,
    "neighbour_order": collection.neighbour_order,
    "users_per_second": collection.users_per_second,
    "blank_lines": blank_lines,
    "jsonlines": jsonlines,
    "sdk_error": sdk_error,
    "refusal": refusal,
    "client_token": client_token,
    "registry_missing": registry_missing,
    "registry_exists": registry_exists,
    "transform_price": transform_price,
    "fastfile": fastfile,
    "newer_family": newer_family,
    "few_rows": few_rows,
}
