"""SageMaker on this machine: the control plane's operations and the runtime, behind one class.

What is here: training, tuning and batch transform jobs, models, endpoint configurations and endpoints
(instance and serverless), the runtime, the model registry, tags. Jobs and endpoints run the algorithm
stand-ins as real programs. Containers other than the two built-in algorithms', and processing jobs, are not
here.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.account import Account
from localcloud.sagemaker.autoscaling import AutoScaling
from localcloud.sagemaker.capacities import resource_id
from localcloud.sagemaker.children import Children
from localcloud.sagemaker.constraints import check_request
from localcloud.sagemaker.endpoints import Endpoints
from localcloud.sagemaker.images import BUILT_IN, Images
from localcloud.sagemaker.invocations import Invocations
from localcloud.sagemaker.limits import Limits, QuotaValues
from localcloud.sagemaker.logs import CloudWatchLogs, LogSink
from localcloud.sagemaker.models import EndpointConfigs, Models
from localcloud.sagemaker.objects import ObjectStore, S3Access
from localcloud.sagemaker.platform import FaultDocument, Platform
from localcloud.sagemaker.records import Record, Records
from localcloud.sagemaker.registry import ModelRegistry
from localcloud.sagemaker.search import Search
from localcloud.sagemaker.tags import Tags
from localcloud.sagemaker.training import TrainingJobs
from localcloud.sagemaker.transform import TransformJobs
from localcloud.sagemaker.tuning import TuningJobs
from localcloud.sagemaker.watching import CloudWatch, NoCloudWatch

_CLOSE_SECONDS = 5.0


class SageMaker:
    """The service of one account in one region.

    Parameters
    ----------
    home
        Folder of the local cloud: logs go to ``logs/<kind>/<name>.log``, everything else is under
        ``sagemaker/``. Records of an earlier server are found again.
    endpoint_url
        Where S3 answers.
    quotas
        The account's limits, which are enforced.
    faults
        Trouble to make on purpose.
    objects_of, logs
        S3 as a role sees it, and CloudWatch Logs, unless a test stands something else in.
    cloudwatch
        Where metrics of endpoints go, and what knows alarms; without it there are none.
    wait_scale
        Factor on waits that requests ask for.
    programs
        Repository name → command that stands in for the image.
    """

    def __init__(
        self,
        home: pathlib.Path,
        region: str,
        account: str,
        endpoint_url: str,
        quotas: QuotaValues,
        faults: FaultDocument,
        *,
        objects_of: Callable[[str], ObjectStore] | None = None,
        logs: LogSink | None = None,
        cloudwatch: CloudWatch | None = None,
        wait_scale: float = 1.0,
        programs: Mapping[str, Sequence[str]] = BUILT_IN,
    ) -> None:
        owner = Account(account, region)
        self._platform = Platform(
            home=home,
            account=owner,
            endpoint_url=endpoint_url,
            faults=faults,
            records=Records(home / "sagemaker" / "records"),
            limits=Limits(quotas),
            children=Children(),
            images=Images(owner, programs),
            objects_of=objects_of or S3Access(endpoint_url, region),
            logs=logs or CloudWatchLogs(endpoint_url, region),
            cloudwatch=cloudwatch or NoCloudWatch(),
            wait_scale=wait_scale,
        )
        registry = ModelRegistry(self._platform)
        models = Models(self._platform, registry)
        configs = EndpointConfigs(self._platform, models)
        self._endpoints = Endpoints(self._platform, models, configs)
        training = TrainingJobs(self._platform)
        transform = TransformJobs(self._platform, models)
        tuning = TuningJobs(self._platform, training)
        self._tags = Tags(self._platform)
        self.scaling = AutoScaling(self._platform, self._endpoints)
        """Application Auto Scaling."""
        self._invocations = Invocations(owner, self._endpoints, self._platform.cloudwatch, self.scaling.count)
        self._operations: dict[str, Callable[[dict[str, Any]], Record]] = {
            "CreateTrainingJob": training.create,
            "DescribeTrainingJob": training.describe,
            "ListTrainingJobs": training.page,
            "StopTrainingJob": training.stop,
            "DeleteTrainingJob": training.delete,
            "CreateTransformJob": transform.create,
            "DescribeTransformJob": transform.describe,
            "ListTransformJobs": transform.page,
            "StopTransformJob": transform.stop,
            "CreateModel": models.create,
            "DescribeModel": models.describe,
            "ListModels": models.page,
            "DeleteModel": models.delete,
            "CreateEndpointConfig": configs.create,
            "DescribeEndpointConfig": configs.describe,
            "ListEndpointConfigs": configs.page,
            "DeleteEndpointConfig": configs.delete,
            "CreateEndpoint": self._endpoints.create,
            "UpdateEndpoint": self._endpoints.update,
            "DescribeEndpoint": self._endpoints.describe,
            "ListEndpoints": self._endpoints.page,
            "UpdateEndpointWeightsAndCapacities": self._endpoints.set_capacities,
            "DeleteEndpoint": self._delete_endpoint,
            "CreateModelPackageGroup": registry.create_group,
            "DescribeModelPackageGroup": registry.describe_group,
            "ListModelPackageGroups": registry.page_groups,
            "DeleteModelPackageGroup": registry.delete_group,
            "CreateModelPackage": registry.create,
            "DescribeModelPackage": registry.describe,
            "ListModelPackages": registry.page,
            "UpdateModelPackage": registry.update,
            "DeleteModelPackage": registry.delete,
            "CreateHyperParameterTuningJob": tuning.create,
            "DescribeHyperParameterTuningJob": tuning.describe,
            "ListHyperParameterTuningJobs": tuning.page,
            "ListTrainingJobsForHyperParameterTuningJob": tuning.page_of_training,
            "StopHyperParameterTuningJob": tuning.stop,
            "AddTags": self._tags.add,
            "ListTags": self._tags.page,
            "DeleteTags": self._tags.delete,
            "Search": Search(self._platform, self._tags).page,
        }
        training.recover()
        transform.recover()
        tuning.recover()
        self._endpoints.recover()

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One operation of the control plane; quick, whatever it starts.

        Returns
        -------
        dict
            As boto3 answers it, with ``datetime`` objects for timestamps.

        Raises
        ------
        ServiceFault
            The refusal, with the service's error code. While the faults document throttles, everything but
            Describe and Stop is refused: Step Functions goes on watching its jobs whatever happens.
        """
        handler = self._operations.get(operation)
        if handler is None:
            raise ServiceFault(
                "UnknownOperationException", f"The local cloud's SageMaker does not have {operation}."
            )
        if (
            not operation.startswith("Describe")
            and time.time() < self._platform.faults.get()["throttle_until"]
        ):
            raise ServiceFault("ThrottlingException", "Rate exceeded")
        check_request(operation, parameters)
        answer = handler(parameters)
        if operation.startswith("Create"):
            arn = next(value for key, value in answer.items() if key.endswith("Arn"))
            self._tags.start(arn, parameters.get("Tags", []))
        return answer

    def scales(self, endpoint: str) -> bool:
        """Whether a variant of the endpoint is a scalable target."""
        return bool(self._endpoints.scaled(endpoint))

    def _delete_endpoint(self, parameters: dict[str, Any]) -> Record:
        """Delete an endpoint; SageMaker deregisters its variants from scaling."""
        answer = self._endpoints.delete(parameters)
        name = parameters["EndpointName"]
        for variant in self._endpoints.scaled(name):
            self.scaling.forget(resource_id(name, variant))
        return answer

    def invoke_endpoint(
        self,
        name: str,
        body: bytes,
        content_type: str | None,
        accept: str | None,
        custom_attributes: str | None = None,
    ) -> tuple[bytes, str, str]:
        """InvokeEndpoint: the answer's body and content type, and the variant that served.

        Raises
        ------
        ServiceFault
            ``ValidationError``, ``413``, or ``ModelError`` (a ``ModelFault`` with ``fields``).
        """
        return self._invocations.invoke(name, body, content_type, accept, custom_attributes)

    def log(self, kind: str, name: str) -> str:
        """The log of a job or endpoint; empty if it has none (yet).

        Raises
        ------
        KeyError
            The kind is none of ``training``, ``transform``, ``endpoint``, or the name is no name.
        """
        if kind not in ("training", "transform", "endpoint") or "/" in name or name.startswith("."):
            raise KeyError(f"no log {kind}/{name}")
        path = self._platform.log_path(kind, name)
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def processes(self) -> list[dict[str, str | int]]:
        """``kind``, ``name`` and ``pid`` of every running program."""
        return self._platform.children.listing()

    def close(self) -> None:
        """Stop every program and thread; nothing runs afterwards."""
        self._platform.closing.set()
        self._endpoints.give_up()
        self._platform.children.close()
        deadline = time.monotonic() + _CLOSE_SECONDS
        for thread in self._platform.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
