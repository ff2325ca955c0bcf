"""SageMaker on a folder that stands in for S3, with a fake program for every image unless the real ones are
asked for.
"""

from __future__ import annotations

import functools
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from localcloud.faults import Faults
from localcloud.quotas import Quotas
from localcloud.sagemaker import SageMaker
from localcloud.sagemaker.images import BUILT_IN
from localcloud.sagemaker.objects import StorageError, StoredObject
from localcloud.sagemaker.watching import Invocation

REGISTRY = "382416733822.dkr.ecr.us-east-1.amazonaws.com"
ROLE = "arn:aws:iam::000000000000:role/training"


class FolderObjects:
    """S3 as a folder: bucket and key are the path."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    def listing(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        if not (self.root / bucket).is_dir():
            raise StorageError("The specified bucket does not exist")
        keys = {str(path.relative_to(self.root / bucket)): path for path in (self.root / bucket).rglob("*")}
        for key in sorted(keys):
            if key.startswith(prefix) and keys[key].is_file():
                yield StoredObject(key, keys[key].stat().st_size)

    def open(self, bucket: str, key: str) -> IO[bytes]:
        try:
            return (self.root / bucket / key).open("rb")
        except OSError as error:
            raise StorageError("The specified key does not exist.") from error

    def upload(self, path: pathlib.Path, bucket: str, key: str) -> None:
        if not (self.root / bucket).is_dir():
            raise StorageError("The specified bucket does not exist")
        target = self.root / bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


@functools.cache
def service_model(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


def checked_call(name: str, service: Any, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Call an operation; request and answer must both fit botocore's model of the service."""
    model = service_model(name).operation_model(operation)
    report = ParamValidator().validate(parameters, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    answer: dict[str, Any] = service.call(operation, parameters)
    if model.output_shape is None:
        assert answer == {}
    else:
        report = ParamValidator().validate(answer, model.output_shape)
        assert not report.has_errors(), f"{operation} answers {report.generate_report()}"
    return answer


class KeptLogs:
    """CloudWatch Logs as a dictionary: group and stream to text."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], str] = {}

    def ship(self, group: str, stream: str, path: pathlib.Path) -> None:
        self.streams[group, stream] = path.read_text()


class KeptMetrics:
    """CloudWatch as lists: what was recorded, which alarms there are, and those that fire."""

    def __init__(self) -> None:
        self.invocations: list[Invocation] = []
        self.alarms: dict[str, bool] = {}

    def record(self, invocation: Invocation) -> None:
        self.invocations.append(invocation)

    def missing(self, alarms: Sequence[str]) -> list[str]:
        return [name for name in alarms if name not in self.alarms]

    def in_alarm(self, alarms: Sequence[str]) -> list[str]:
        return [name for name in alarms if self.alarms[name]]


class Cloud:
    """The service under test with what surrounds it, and the requests that tests send."""

    def __init__(self, folder: pathlib.Path, quotas: dict[str, float] | None, stand_ins: bool) -> None:
        self.home = folder / "home"
        self.bucket = folder / "s3" / "bucket"
        self.bucket.mkdir(parents=True, exist_ok=True)
        self.quotas = Quotas(quotas or {})
        self.faults = Faults()
        self.logs = KeptLogs()
        self.metrics = KeptMetrics()
        self.roles: list[str] = []
        self._store = FolderObjects(folder / "s3")
        fake = (sys.executable, str(pathlib.Path(__file__).with_name("fake_algorithm.py")))
        self.service = SageMaker(
            self.home,
            "us-east-1",
            "000000000000",
            "http://127.0.0.1:1",
            self.quotas,
            self.faults,
            objects_of=self.objects_of,
            logs=self.logs,
            cloudwatch=self.metrics,
            wait_scale=0.01,
            programs=BUILT_IN if stand_ins else {"factorization-machines": fake, "knn": fake},
        )

    def objects_of(self, role: str) -> FolderObjects:
        self.roles.append(role)
        return self._store

    def put(self, key: str, content: str | bytes) -> None:
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return checked_call("sagemaker", self.service, operation, parameters)

    def until(self, question: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)
        return answer

    def train(self, name: str = "job", **changes: Any) -> str:
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {
                "TrainingImage": f"{REGISTRY}/factorization-machines:1",
                "TrainingInputMode": "File",
            },
            "RoleArn": ROLE,
            "HyperParameters": {},
            "InputDataConfig": [self.channel()],
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/models/"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }
        if "train" not in {path.name for path in self.bucket.glob("*")}:
            self.put("train/part-00000", "rows")
        return str(self("CreateTrainingJob", **request | changes)["TrainingJobArn"])

    @staticmethod
    def channel(name: str = "train", uri: str = "s3://bucket/train/", **changes: Any) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}} | changes

    def trained(self, name: str = "job", **changes: Any) -> dict[str, Any]:
        self.train(name, **changes)
        return self.end_of_training(name)

    def end_of_training(self, name: str = "job") -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            job = self("DescribeTrainingJob", TrainingJobName=name)
            return None if job["TrainingJobStatus"] in ("InProgress", "Stopping") else job

        job: dict[str, Any] = self.until(ended)
        return job

    def model(self, name: str = "model", artifact: str | None = None, **container: Any) -> None:
        if artifact is None:
            job = f"for-{name}"
            self.trained(job)
            artifact = f"s3://bucket/models/{job}/output/model.tar.gz"
        primary = {"Image": f"{REGISTRY}/knn:1", "ModelDataUrl": artifact} | container
        self("CreateModel", ModelName=name, PrimaryContainer=primary, ExecutionRoleArn=ROLE)

    def transform(self, name: str = "batch", **changes: Any) -> None:
        request: dict[str, Any] = {
            "TransformJobName": name,
            "ModelName": "model",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/queries/"}},
                "ContentType": "application/jsonlines",
                "SplitType": "Line",
            },
            "TransformOutput": {"S3OutputPath": "s3://bucket/answers", "Accept": "application/jsonlines"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        }
        self("CreateTransformJob", **request | changes)

    def transformed(self, name: str = "batch", **changes: Any) -> dict[str, Any]:
        self.transform(name, **changes)

        def ended() -> dict[str, Any] | None:
            job = self("DescribeTransformJob", TransformJobName=name)
            return None if job["TransformJobStatus"] in ("InProgress", "Stopping") else job

        job: dict[str, Any] = self.until(ended)
        return job

    def config(self, name: str = "config", model: str = "model", **variant: Any) -> None:
        hosting = (
            {}
            if "ServerlessConfig" in variant
            else {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        )
        document = {"VariantName": "AllTraffic", "ModelName": model} | hosting | variant
        self("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[document])

    def endpoint(self, name: str = "endpoint", config: str = "config") -> dict[str, Any]:
        self("CreateEndpoint", EndpointName=name, EndpointConfigName=config)
        return self.settled(name)

    def settled(self, name: str = "endpoint") -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            endpoint = self("DescribeEndpoint", EndpointName=name)
            return endpoint if endpoint["EndpointStatus"] in ("InService", "Failed") else None

        endpoint: dict[str, Any] = self.until(ended)
        return endpoint


@pytest.fixture(scope="module")
def finished_jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Three finished training jobs that differ in k and tags, for tests that only look for them."""
    cloud = Cloud(tmp_path_factory.mktemp("finished"), None, stand_ins=False)
    for name, k in (("small", "3"), ("large", "20"), ("other", "5")):
        tags = [{"Key": "project", "Value": name}] if name != "other" else []
        cloud.trained(name=name, HyperParameters={"k": k}, Tags=tags)
    yield cloud
    cloud.service.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A service with the stand-ins for the images, whose imports take a second for each service."""
    cloud = Cloud(tmp_path_factory.mktemp("real"), None, stand_ins=True)
    yield cloud
    cloud.service.close()


@pytest.fixture
def make_cloud(tmp_path: pathlib.Path) -> Iterator[Callable[..., Cloud]]:
    """Start a service on the test's folder; a second call is the same service after a restart."""
    made: list[Cloud] = []

    def make(quotas: dict[str, float] | None = None) -> Cloud:
        made.append(Cloud(tmp_path, quotas, stand_ins=False))
        return made[-1]

    yield make
    for cloud in made:
        cloud.service.close()


@pytest.fixture
def cloud(make_cloud: Callable[..., Cloud]) -> Cloud:
    return make_cloud()


@pytest.fixture
def call() -> Callable[..., dict[str, Any]]:
    """Call an operation of any service, request and answer checked against botocore's model."""
    return checked_call
