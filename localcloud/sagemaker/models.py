"""Models and endpoint configurations: what batch transform and endpoints are made from."""

from __future__ import annotations

from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.lists import list_records, pick
from localcloud.sagemaker.objects import parse_s3_uri
from localcloud.sagemaker.platform import Platform, echo, required
from localcloud.sagemaker.records import Record, now, public
from localcloud.sagemaker.registry import ModelRegistry

MODEL = "model"
ENDPOINT_CONFIG = "endpoint-config"
_SERVERLESS_STEP_MB = 1024


class Models:
    """CreateModel, DescribeModel, ListModels, DeleteModel."""

    def __init__(self, platform: Platform, registry: ModelRegistry) -> None:
        self._platform = platform
        self._registry = registry

    def create(self, parameters: dict[str, Any]) -> Record:
        """Keep a model of one container."""
        name = parameters["ModelName"]
        required(parameters, "ExecutionRoleArn")
        arn = self._platform.account.arn(MODEL, name)
        containers = parameters.get("Containers") or []
        if ("PrimaryContainer" in parameters) == bool(containers):
            raise ServiceFault(
                "ValidationException", "Exactly one of PrimaryContainer and Containers must be set."
            )
        if len(containers) > 1:
            raise ServiceFault("ValidationException", "The local cloud serves models of one container only.")
        container = self._resolved(parameters.get("PrimaryContainer") or containers[0])
        with self._platform.records.lock:
            if self._platform.records.get(MODEL, name) is not None:
                raise ServiceFault("ValidationException", f'Cannot create already existing model "{arn}".')
            record = {
                "ModelName": name,
                "ModelArn": arn,
                "PrimaryContainer": container,
                "ExecutionRoleArn": parameters["ExecutionRoleArn"],
                "VpcConfig": parameters.get("VpcConfig"),
                "EnableNetworkIsolation": bool(parameters.get("EnableNetworkIsolation")),
                "CreationTime": now(),
            }
            self._platform.records.put(MODEL, name, record)
        return {"ModelArn": arn}

    def describe(self, parameters: dict[str, Any]) -> Record:
        """The model as it was created."""
        return public(self.existing(parameters["ModelName"]))

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of models."""
        return list_records(
            self._platform.records.every(MODEL),
            parameters,
            answer="Models",
            name_key="ModelName",
            status_key=None,
            summarise=pick("ModelName", "ModelArn", "CreationTime"),
        )

    def delete(self, parameters: dict[str, Any]) -> Record:
        """Forget a model; jobs and endpoints that use it have their own copy."""
        self.existing(parameters["ModelName"])
        self._platform.records.delete(MODEL, parameters["ModelName"])
        return {}

    def existing(self, name: str) -> Record:
        """The model's record."""
        arn = self._platform.account.arn(MODEL, name)
        return self._platform.existing(MODEL, name, f'Could not find model "{arn}".')

    def _resolved(self, container: dict[str, Any]) -> dict[str, Any]:
        """The container with image and model data; of a model package, the package's."""
        package_name = container.get("ModelPackageName")
        if package_name is not None:
            package = self._registry.existing(package_name)
            inference = package["InferenceSpecification"]["Containers"][0]
            container = container | {
                key: inference[key] for key in ("Image", "ModelDataUrl") if key in inference
            }
            environment = inference.get("Environment", {}) | container.get("Environment", {})
            if environment:
                container["Environment"] = environment
        required(container, "Image")
        if self._platform.images.program(container["Image"]) is None:
            raise ServiceFault("ValidationException", f"Requested image {container['Image']} not found.")
        if container.get("ModelDataSource"):
            raise ServiceFault(
                "ValidationException", "The local cloud reads models from ModelDataUrl (a tar.gz) only."
            )
        if "ModelDataUrl" in container:
            parse_s3_uri(container["ModelDataUrl"])
        return container


class EndpointConfigs:
    """CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

    def __init__(self, platform: Platform, models: Models) -> None:
        self._platform = platform
        self._models = models

    def create(self, parameters: dict[str, Any]) -> Record:
        """Keep a configuration of instance or serverless variants."""
        name = parameters["EndpointConfigName"]
        arn = self._platform.account.arn(ENDPOINT_CONFIG, name)
        for variant in parameters["ProductionVariants"]:
            self._check_variant(variant, len(parameters["ProductionVariants"]))
        with self._platform.records.lock:
            if self._platform.records.get(ENDPOINT_CONFIG, name) is not None:
                raise ServiceFault(
                    "ValidationException", f'Cannot create already existing endpoint configuration "{arn}".'
                )
            record = echo(
                parameters,
                (
                    "EndpointConfigName",
                    "ProductionVariants",
                    "DataCaptureConfig",
                    "KmsKeyId",
                    "AsyncInferenceConfig",
                    "ExplainerConfig",
                    "ShadowProductionVariants",
                    "ExecutionRoleArn",
                    "VpcConfig",
                    "EnableNetworkIsolation",
                ),
            ) | {"EndpointConfigArn": arn, "CreationTime": now()}
            self._platform.records.put(ENDPOINT_CONFIG, name, record)
        return {"EndpointConfigArn": arn}

    def describe(self, parameters: dict[str, Any]) -> Record:
        """The configuration as it was created."""
        return public(self.existing(parameters["EndpointConfigName"]))

    def page(self, parameters: dict[str, Any]) -> Record:
        """One page of configurations."""
        return list_records(
            self._platform.records.every(ENDPOINT_CONFIG),
            parameters,
            answer="EndpointConfigs",
            name_key="EndpointConfigName",
            status_key=None,
            summarise=pick("EndpointConfigName", "EndpointConfigArn", "CreationTime"),
        )

    def delete(self, parameters: dict[str, Any]) -> Record:
        """Forget a configuration; endpoints made from it go on."""
        self.existing(parameters["EndpointConfigName"])
        self._platform.records.delete(ENDPOINT_CONFIG, parameters["EndpointConfigName"])
        return {}

    def existing(self, name: str) -> Record:
        """The configuration's record."""
        arn = self._platform.account.arn(ENDPOINT_CONFIG, name)
        return self._platform.existing(
            ENDPOINT_CONFIG, name, f'Could not find endpoint configuration "{arn}".'
        )

    def _check_variant(self, variant: dict[str, Any], variants: int) -> None:
        required(variant, "ModelName")
        self._models.existing(variant["ModelName"])
        serverless = variant.get("ServerlessConfig")
        if serverless is None:
            if "InstancePools" not in variant:
                required(variant, "InstanceType", "InitialInstanceCount")
            return
        if "InstanceType" in variant or "InitialInstanceCount" in variant or variants > 1:
            raise ServiceFault(
                "ValidationException",
                "A serverless endpoint has one variant, without InstanceType and InitialInstanceCount.",
            )
        if serverless["MemorySizeInMB"] % _SERVERLESS_STEP_MB:
            raise ServiceFault(
                "ValidationException",
                "ServerlessConfig.MemorySizeInMB must be one of 1024, 2048, 3072, 4096, 5120 and 6144, found "
                f"{serverless['MemorySizeInMB']}.",
            )
        if serverless.get("ProvisionedConcurrency", 0) > serverless["MaxConcurrency"]:
            raise ServiceFault(
                "ValidationException", "ProvisionedConcurrency must be less than or equal to MaxConcurrency."
            )
