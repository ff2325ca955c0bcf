"""The deployed state machine: its definition filled in, its log, and what it may do."""

from __future__ import annotations

import json

from aws_cdk import Aws, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from stacks.access import attach_volumes, grant
from stacks.encoding import EncodingJob
from stacks.functions import Functions, pascal_case
from stacks.images import AlgorithmImages
from stacks.log_groups import log_group
from stacks.settings import Settings
from stacks.storage import StorageStack
from stacks.workflow import SUBSTITUTIONS, definition

LONGEST = Duration.days(14)
"""Waiting for quotas, two trainings and a transform; a run that takes longer is stuck."""

MANAGED_RULES = (
    "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
    "StepFunctionsGetEventsForSageMakerTransformJobsRule",
)
"""EventBridge rules through which Step Functions hears that a SageMaker job has ended (``.sync``)."""


class PipelineStateMachine(Construct):
    """A Standard state machine that logs every event and is traced."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        encoding: EncodingJob,
        functions: Functions,
        images: AlgorithmImages,
        sagemaker_role: iam.Role,
    ) -> None:
        super().__init__(scope, construct_id)
        self._prefix = settings.prefix
        self._endpoint_name = settings.endpoint_name
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        substitutions = {
            "Partition": Aws.PARTITION,
            "DataBucket": storage.data.bucket_name,
            "Key": storage.key.key_arn,
            "Table": storage.table.table_name,
            "Topic": storage.topic.topic_arn,
            "SageMakerRole": sagemaker_role.role_arn,
            "EncodingJob": encoding.job.job_name,
            "FactorizationMachinesImage": images.uri("factorization-machines"),
            "KnnImage": images.uri("knn"),
            **{pascal_case(name): function.function_name for name, function in functions.functions.items()},
        }
        if set(substitutions) != set(SUBSTITUTIONS):
            raise ValueError(f"substitutions differ: {set(substitutions) ^ set(SUBSTITUTIONS)}")
        self.state_machine = stepfunctions.StateMachine(
            self,
            "StateMachine",
            definition_body=stepfunctions.DefinitionBody.from_string(
                json.dumps(definition(settings), indent=1)
            ),
            definition_substitutions=substitutions,
            role=self.role,
            logs=stepfunctions.LogOptions(
                destination=log_group(self, "Log", settings, name=_log_group_name()),
                level=stepfunctions.LogLevel.ALL,
                include_execution_data=True,
            ),
            tracing_enabled=True,
            timeout=LONGEST,
        )
        self._permit(storage, encoding, functions, sagemaker_role)

    def _permit(
        self, storage: StorageStack, encoding: EncodingJob, functions: Functions, sagemaker_role: iam.Role
    ) -> None:
        stack = Stack.of(self)
        grant(
            self.role,
            [
                iam.PolicyStatement(
                    actions=["lambda:InvokeFunction"],
                    resources=[function.function_arn for function in functions.functions.values()],
                ),
                iam.PolicyStatement(
                    actions=["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"],
                    resources=[encoding.job.job_arn],
                ),
                *self._sagemaker(),
                iam.PolicyStatement(
                    actions=["iam:PassRole"],
                    resources=[sagemaker_role.role_arn],
                    conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
                ),
                iam.PolicyStatement(
                    actions=["events:DescribeRule", "events:PutRule", "events:PutTargets"],
                    resources=[
                        stack.format_arn(service="events", resource="rule", resource_name=rule)
                        for rule in MANAGED_RULES
                    ],
                ),
                *attach_volumes(storage.key),
                iam.PolicyStatement(actions=["sns:Publish"], resources=[storage.topic.topic_arn]),
                iam.PolicyStatement(
                    actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[storage.key.key_arn]
                ),
            ],
            wildcards={},
        )

    def _sagemaker(self) -> list[iam.PolicyStatement]:
        def named(kind: str) -> str:
            return Stack.of(self).format_arn(
                service="sagemaker", resource=kind, resource_name=f"{self._prefix}-*"
            )

        endpoint = Stack.of(self).format_arn(
            service="sagemaker", resource="endpoint", resource_name=self._endpoint_name
        )
        return [
            iam.PolicyStatement(
                actions=[
                    "sagemaker:CreateTrainingJob",
                    "sagemaker:DescribeTrainingJob",
                    "sagemaker:StopTrainingJob",
                ],
                resources=[named("training-job")],
            ),
            iam.PolicyStatement(
                actions=[
                    "sagemaker:CreateTransformJob",
                    "sagemaker:DescribeTransformJob",
                    "sagemaker:StopTransformJob",
                ],
                resources=[named("transform-job")],
            ),
            iam.PolicyStatement(actions=["sagemaker:CreateModel"], resources=[named("model")]),
            iam.PolicyStatement(
                actions=["sagemaker:CreateEndpointConfig"], resources=[named("endpoint-config")]
            ),
            iam.PolicyStatement(
                actions=["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"],
                resources=[endpoint, named("endpoint-config")],
            ),
            iam.PolicyStatement(
                actions=["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint"], resources=[endpoint]
            ),
            iam.PolicyStatement(
                actions=["sagemaker:AddTags"],
                resources=[
                    *(named(kind) for kind in ("training-job", "transform-job", "model", "endpoint-config")),
                    endpoint,
                ],
            ),
        ]


def _log_group_name() -> str:
    """Under the prefix that keeps log delivery's resource policy short; unique to this stack's lifetime."""
    unique = Fn.select(4, Fn.split("-", Fn.select(2, Fn.split("/", Aws.STACK_ID))))
    return f"/aws/vendedlogs/states/{Aws.STACK_NAME}-{unique}"
