"""The deployed state machine: its definition filled in, its log, and what it may do."""

from __future__ import annotations

import json
from typing import cast

from aws_cdk import Acknowledgment, ArnFormat, Aws, CfnElement, Duration, Fn, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from stacks.access import Permission, acknowledge, attach_volumes, grant, sagemaker_names, use_key
from stacks.encoding import EncodingJob
from stacks.endpoint_access import scale, see_alarms, stop_scaling
from stacks.functions import Functions, pascal_case
from stacks.images import AlgorithmImages
from stacks.log_groups import log_group
from stacks.settings import Settings
from stacks.storage import StorageStack
from stacks.workflow import SUBSTITUTIONS, definition
from stacks.workflow.state_builders import INTEGRATIONS

LONGEST = Duration.days(14)
"""Waiting for quotas, two trainings and a transform; a run that takes longer is stuck."""

MANAGED_RULES = (
    "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
    "StepFunctionsGetEventsForSageMakerTransformJobsRule",
    "StepFunctionsGetEventsForSageMakerTuningJobsRule",
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
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        substitutions = {
            **{
                name: f"arn:{Aws.PARTITION}:states:::{integration}"
                for name, integration in INTEGRATIONS.items()
            },
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
        text = json.dumps(definition(settings), indent=1)
        self.state_machine = stepfunctions.StateMachine(
            self,
            "StateMachine",
            definition_body=stepfunctions.DefinitionBody.from_string(text),
            definition_substitutions={
                name: value for name, value in substitutions.items() if f"${{{name}}}" in text
            },
            role=self.role,
            logs=stepfunctions.LogOptions(
                destination=log_group(self, "Log", settings, storage.key, name=_log_group_name()),
                level=stepfunctions.LogLevel.ALL,
                include_execution_data=True,
            ),
            tracing_enabled=True,
            timeout=LONGEST,
        )
        self._permit(settings, storage, encoding, functions, sagemaker_role)
        self.let_see_executions(self, functions.roles["acquire_publishing_lock"])

    def _permit(
        self,
        settings: Settings,
        storage: StorageStack,
        encoding: EncodingJob,
        functions: Functions,
        sagemaker_role: iam.Role,
    ) -> None:
        stack = Stack.of(self)
        jobs = ("training-job", "transform-job", "hyper-parameter-tuning-job")
        grant(
            self.role,
            Permission(
                ["lambda:InvokeFunction"],
                [function.function_arn for function in functions.functions.values()],
            ),
            Permission(
                ["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"],
                [encoding.job.job_arn],
            ),
            self._sagemaker(jobs[:1], "CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"),
            self._sagemaker(jobs[1:2], "CreateTransformJob", "DescribeTransformJob", "StopTransformJob"),
            self._sagemaker(
                jobs[2:],
                *(f"{call}HyperParameterTuningJob" for call in ("Create", "Describe", "Stop")),
            ),
            self._sagemaker(("model",), "CreateModel"),
            self._sagemaker(("model-package",), "UpdateModelPackage"),
            self._sagemaker(("endpoint-config",), "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"),
            # A data set has endpoints of its own, and runs name their data set.
            self._sagemaker(
                ("endpoint",), *(f"{call}Endpoint" for call in ("Create", "Update", "Describe", "Delete"))
            ),
            self._sagemaker((*jobs, "model", "endpoint", "endpoint-config"), "AddTags"),
            *see_alarms(self, settings),
            *stop_scaling(self, settings.prefix),
            *scale(self, settings),
            Permission(
                ["iam:PassRole"],
                [sagemaker_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
            Permission(
                ["events:DescribeRule", "events:PutRule", "events:PutTargets"],
                [
                    stack.format_arn(service="events", resource="rule", resource_name=rule)
                    for rule in MANAGED_RULES
                ],
            ),
            *attach_volumes(storage.key),
            Permission(["sns:Publish"], [storage.topic.topic_arn]),
            use_key(storage.key, write=True),
        )
        acknowledge(
            self.role,
            {"*": "Delivery of the execution log and X-Ray have no resource-level permissions."},
        )

    def let_see_executions(self, scope: Construct, role: iam.Role) -> None:
        """Let a function's role see how executions of this workflow stand.

        In a policy of its own: the role's first one must be there before the state machine, which it names.
        """
        stack = Stack.of(self)
        executions = stack.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.state_machine.state_machine_name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        logical_id = stack.resolve(
            stack.get_logical_id(cast(CfnElement, self.state_machine.node.default_child))
        )
        policy = iam.Policy(
            scope,
            "SeeExecutions",
            roles=[role],
            statements=[iam.PolicyStatement(actions=["states:DescribeExecution"], resources=[executions])],
        )
        Validations.of(policy).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:"
                f"<{logical_id}.Name>:*]",
                reason="Executions are named when they are started.",
            )
        )

    def _sagemaker(self, kinds: tuple[str, ...], *calls: str) -> Permission:
        return sagemaker_names(self, self._prefix, kinds, [f"sagemaker:{call}" for call in calls])


def _log_group_name() -> str:
    """Under the prefix that keeps log delivery's resource policy short; unique to this stack's lifetime."""
    unique = Fn.select(4, Fn.split("-", Fn.select(2, Fn.split("/", Aws.STACK_ID))))
    return f"/aws/vendedlogs/states/{Aws.STACK_NAME}-{unique}"
