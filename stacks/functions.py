"""The Lambda functions: one for each question that the state machine can't answer by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from aws_cdk import Acknowledgment, Duration, Size, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from fmrec.artifacts import layout
from fmrec.instances.permissions import INCREASE_ACTIONS, READ_ACTIONS
from stacks import bundles
from stacks.access import (
    Permission,
    grant,
    read_objects,
    sagemaker_names,
    use_key,
    without_resource,
    write_objects,
)
from stacks.images import AlgorithmImages
from stacks.log_groups import log_group
from stacks.settings import Settings
from stacks.storage import StorageStack

RUNTIME = lambda_.Runtime.PYTHON_3_13
"""What the layer's wheels are built for (scripts/build_lambda_layer.py)."""


@dataclass(frozen=True)
class FunctionSettings:
    """What differs between the functions."""

    description: str
    memory_mb: int = 512
    timeout_seconds: int = 60
    scratch_mb: int = 512
    environment: Mapping[str, str] = field(default_factory=dict)


def function_settings(
    settings: Settings, data_bucket: str, lock_table: str, groups_arn: str
) -> dict[str, FunctionSettings]:
    """Return each function's settings by the name of its folder.

    `groups_arn` is what the ARNs of model package groups begin with.
    """
    data = settings.functions.memory_mb
    return {
        "check_input": FunctionSettings(
            "Checks an execution's input, fills in the defaults, finds the model to promote",
            environment={"DATA_URI": f"s3://{data_bucket}", "MODEL_GROUPS_ARN": groups_arn},
        ),
        "compare_data": FunctionSettings(
            "Compares a run's data with what the champion learned from",
            memory_mb=data,
            timeout_seconds=300,
        ),
        "choose_instances": FunctionSettings(
            "Chooses the instances to try by memory, quota and price",
            memory_mb=1024,
            # Names of users and items are read once: some ten million a minute.
            timeout_seconds=300,
            environment={
                "INSTANCE_POLICY": json.dumps(settings.instances.policy),
                "CACHE_URI": f"s3://{data_bucket}/{layout.ACCOUNT_CACHE}",
            },
        ),
        "propose_trials": FunctionSettings("Proposes hyperparameters to try, and chooses the best"),
        "evaluate_ranking": FunctionSettings(
            "Ranks all items for held-out users and judges the lists",
            memory_mb=data,
            timeout_seconds=900,
            environment={"SIMPLE_MODELS": json.dumps(settings.simple_models.model_dump())},
        ),
        "check_quality": FunctionSettings("Compares with thresholds, popularity and the champion"),
        "register_model": FunctionSettings("Registers a judged model in SageMaker Model Registry"),
        "export_embeddings": FunctionSettings(
            "Turns a model into k-NN's items and queries",
            memory_mb=data,
            timeout_seconds=900,
            scratch_mb=10240,
        ),
        "publish_recommendations": FunctionSettings(
            "Publishes the top-N of one part of the users", memory_mb=data, timeout_seconds=900
        ),
        "acquire_publishing_lock": FunctionSettings(
            "Lets one execution at a time change what a data set serves",
            environment={"LOCK_TABLE": lock_table},
        ),
        "remove_departed_users": FunctionSettings(
            "Removes lists of users who are no longer in the data", timeout_seconds=900
        ),
        "compare_lists": FunctionSettings(
            "Compares the lists of a run with the champion's", memory_mb=data, timeout_seconds=900
        ),
        "publish_popular": FunctionSettings(
            "Publishes what is popular, for users whom the model doesn't know",
            memory_mb=data,
            timeout_seconds=900,
        ),
        "smoke_test_endpoint": FunctionSettings("Asks the endpoint what is published", memory_mb=1024),
        "choose_threshold": FunctionSettings(
            "Chooses where scores mean yes and writes the held-out pairs",
            memory_mb=data,
            timeout_seconds=900,
        ),
        "smoke_test_scoring": FunctionSettings(
            "Asks the endpoint for a held-out pair's score", memory_mb=1024
        ),
        "write_report": FunctionSettings("Writes a run's report"),
        "explain_failure": FunctionSettings(
            "Says what failed, where to look and what to do",
            environment={"REQUEST_QUOTA_INCREASES": json.dumps(settings.instances.request_quota_increases)},
        ),
    }


class Functions(Construct):
    """All functions, each with a role and a log group of its own."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        images: AlgorithmImages,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._key = storage.key
        self._image_arn = images.repository_arn("factorization-machines")
        self._layer = dependency_layer(self)
        self.roles: dict[str, iam.Role] = {}
        self.functions: dict[str, lambda_.Function] = {}
        for name, own in function_settings(
            settings, storage.data.bucket_name, storage.locks.table_name, self._groups_arn()
        ).items():
            self.functions[name], self.roles[name] = self.add(self, name, own)
        self._permit(storage)

    def add(self, scope: Construct, name: str, own: FunctionSettings) -> tuple[lambda_.Function, iam.Role]:
        """Put the function of a folder under `lambda/` into a scope, with a role that may write its log."""
        return add_function(scope, name, own, settings=self._settings, key=self._key, layer=self._layer)

    def _permit(self, storage: StorageStack) -> None:
        """What each function may do; check_quality and propose_trials need nothing."""
        key, table = storage.key, storage.table.table_arn
        ranks, scores = (
            sagemaker_names(
                self, self._settings.prefix, ("endpoint",), ["sagemaker:InvokeEndpoint"], end=model
            )
            for model in ("knn", "fm")
        )
        for name, permissions in {
            "check_input": [
                *read_objects(
                    storage,
                    layout.RAW,
                    layout.ENCODED,
                    layout.EMBEDDINGS,
                    layout.EVALUATIONS,
                    layout.CHAMPION,
                ),
                use_key(key),
                self._model_packages("DescribeModelPackage"),
            ],
            "register_model": [
                sagemaker_names(
                    self,
                    self._settings.prefix,
                    ("model-package-group",),
                    [
                        f"sagemaker:{call}"
                        for call in (
                            *("CreateModelPackageGroup", "DescribeModelPackageGroup"),
                            "CreateModelPackage",
                        )
                    ],
                ),
                self._model_packages("CreateModelPackage", "UpdateModelPackage"),
                # SageMaker looks at what is registered in the caller's name.
                *read_objects(storage, layout.MODELS),
                Permission(["ecr:BatchGetImage", "ecr:DescribeImages"], [self._image_arn]),
                write_objects(storage, layout.EVALUATIONS),
                use_key(key, write=True),
            ],
            "choose_instances": [
                *read_objects(storage, layout.ENCODED, layout.CHAMPION, layout.ACCOUNT_CACHE),
                write_objects(storage, layout.ACCOUNT_CACHE),
                use_key(key, write=True),
                without_resource(
                    *READ_ACTIONS,
                    why="What runs in the account, its quotas and prices are read whatever their names.",
                ),
            ],
            "compare_data": [*read_objects(storage, layout.ENCODED, layout.CHAMPION), use_key(key)],
            "export_embeddings": [
                # What it has exported, users are folded into to choose how.
                *read_objects(storage, layout.ENCODED, layout.MODELS, layout.EMBEDDINGS),
                write_objects(storage, layout.EMBEDDINGS),
                use_key(key, write=True),
            ],
            "publish_recommendations": [
                *read_objects(storage, layout.ENCODED, layout.EMBEDDINGS, layout.NEIGHBOURS, layout.RULES),
                write_objects(storage, layout.RECOMMENDATIONS),
                use_key(key, write=True),
                Permission(["dynamodb:BatchWriteItem"], [table]),
            ],
            "publish_popular": [
                *read_objects(storage, layout.ENCODED, layout.RULES),
                use_key(key),
                Permission(["dynamodb:BatchWriteItem"], [table]),
            ],
            "acquire_publishing_lock": [
                *read_objects(storage, layout.CHAMPION),
                use_key(key),
                Permission(["dynamodb:GetItem", "dynamodb:PutItem"], [storage.locks.table_arn]),
            ],
            "remove_departed_users": [
                use_key(key),
                Permission(["dynamodb:Scan", "dynamodb:DeleteItem"], [table]),
            ],
            "compare_lists": [
                *read_objects(storage, layout.ENCODED, layout.CHAMPION, layout.RECOMMENDATIONS),
                use_key(key),
            ],
            "evaluate_ranking": [
                *read_objects(storage, layout.ENCODED, layout.EMBEDDINGS, layout.CHAMPION),
                write_objects(storage, layout.EVALUATIONS),
                use_key(key, write=True),
            ],
            "smoke_test_endpoint": [
                *read_objects(storage, layout.ENCODED, layout.EMBEDDINGS, layout.RULES),
                use_key(key),
                Permission(["dynamodb:GetItem"], [table]),
                ranks,
            ],
            "choose_threshold": [
                *read_objects(storage, layout.ENCODED, layout.SCORES),
                write_objects(storage, layout.PREDICTIONS),
                use_key(key, write=True),
            ],
            "smoke_test_scoring": [
                *read_objects(storage, layout.ENCODED, layout.SCORES),
                use_key(key),
                scores,
            ],
            "write_report": [
                *read_objects(storage, layout.CHAMPION),
                write_objects(storage, layout.RUNS, layout.CHAMPION),
                use_key(key, write=True),
            ],
        }.items():
            grant(self.roles[name], *permissions)
        if self._settings.instances.request_quota_increases:
            grant(
                self.roles["explain_failure"],
                without_resource(*INCREASE_ACTIONS, why="The quota that stops a run isn't known before."),
            )

    def _groups_arn(self) -> str:
        """What the ARNs of the deployment's model package groups begin with."""
        return Stack.of(self).format_arn(
            service="sagemaker", resource="model-package-group", resource_name=self._settings.prefix
        )

    def _model_packages(self, *calls: str) -> Permission:
        return sagemaker_names(
            self, self._settings.prefix, ("model-package",), [f"sagemaker:{call}" for call in calls]
        )


def dependency_layer(scope: Construct) -> lambda_.LayerVersion:
    """The layer of what functions import, of a stack."""
    return lambda_.LayerVersion(
        scope,
        "Dependencies",
        code=lambda_.Code.from_asset(str(bundles.function_layer())),
        compatible_runtimes=[RUNTIME],
        compatible_architectures=[lambda_.Architecture.X86_64],
        description="NumPy, PyArrow, pydantic and Powertools as locked in lambda/requirements.txt",
    )


def add_function(
    scope: Construct,
    name: str,
    own: FunctionSettings,
    *,
    settings: Settings,
    key: kms.IKey,
    layer: lambda_.ILayerVersion,
) -> tuple[lambda_.Function, iam.Role]:
    """Create the function of a folder of lambda/, with a role and a log group of its own."""
    title = pascal_case(name)
    log = log_group(scope, f"{title}Log", settings, key)
    role = iam.Role(scope, f"{title}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log.grant_write(role)
    function = lambda_.Function(
        scope,
        title,
        description=own.description,
        code=lambda_.Code.from_asset(str(bundles.function_code(name))),
        handler="handler.handler",
        runtime=RUNTIME,
        architecture=lambda_.Architecture.X86_64,
        layers=[layer],
        role=role,
        log_group=log,
        memory_size=own.memory_mb,
        ephemeral_storage_size=Size.mebibytes(own.scratch_mb),
        timeout=Duration.seconds(own.timeout_seconds),
        environment=dict(own.environment),
    )
    Validations.of(function).acknowledge(
        Acknowledgment(
            id="AwsSolutions-L1",
            reason="Python 3.13 is the Python of Glue 6.0 too: one library, one version everywhere.",
        )
    )
    return function, role


def pascal_case(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
