"""The pipeline: the Glue job, the functions and the state machine over the stateful stack."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from fmrec.registry.packages import GROUP_OUTPUTS, group_name
from stacks.encoding import EncodingJob
from stacks.functions import Functions
from stacks.images import AlgorithmImages
from stacks.monitoring import EndpointAlarms, RunAlarms
from stacks.operations.budget import MonthlyBudget
from stacks.operations.dashboard import Dashboard
from stacks.operations.idle_guard import IdleGuard
from stacks.operations.starter import Starter
from stacks.sagemaker_role import SageMakerRole
from stacks.settings import Settings
from stacks.state_machine import PipelineStateMachine
from stacks.storage import StorageStack


class PipelineStack(Stack):
    """Everything that can be replaced without losing anything."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        images = AlgorithmImages(self, "Images")
        encoding = EncodingJob(self, "Encoding", settings=settings, storage=storage)
        functions = Functions(self, "Functions", settings=settings, storage=storage, images=images)
        sagemaker_role = SageMakerRole(self, "SageMakerRole", storage=storage, images=images)
        workflow = PipelineStateMachine(
            self,
            "Workflow",
            settings=settings,
            storage=storage,
            encoding=encoding,
            functions=functions,
            images=images,
            sagemaker_role=sagemaker_role,
        )
        alarms = RunAlarms(self, "Alarms", state_machine=workflow.state_machine, topic=storage.topic)
        starter = Starter(
            self,
            "Starter",
            settings=settings,
            storage=storage,
            functions=functions,
            workflow=workflow,
            topic=storage.topic,
        )
        endpoints = EndpointAlarms(self, "EndpointAlarms", settings=settings, topic=storage.topic)
        extra, extra_alarms = {}, []
        if settings.serving.idle_hours is not None:
            guard = IdleGuard(
                self,
                "IdleGuard",
                settings=settings,
                functions=functions,
                state_machine=workflow.state_machine,
                hours=settings.serving.idle_hours,
                topic=storage.topic,
            )
            extra, extra_alarms = {"delete_idle_endpoints": guard.function}, guard.alarms
            CfnOutput(
                self,
                "IdleGuardFunction",
                value=guard.function.function_name,
                description="The function that deletes endpoints which nobody calls.",
            )
        if settings.watch.dashboard:
            Dashboard(
                self,
                "Watch",
                state_machine=workflow.state_machine,
                functions={**functions.functions, "start_run": starter.function, **extra},
                table=storage.table,
                endpoints=settings.watched_endpoints,
                alarms=[*alarms.alarms, *starter.alarms, *endpoints.alarms, *extra_alarms],
            )
        if settings.watch.monthly_budget_usd is not None:
            MonthlyBudget(
                self, "Cost", settings=settings, storage=storage, usd=settings.watch.monthly_budget_usd
            )
        arn = workflow.state_machine.state_machine_arn
        for name, value, description in (
            ("StateMachineArn", arn, "The workflow: start it with {}."),
            (
                "StartCommand",
                f"aws stepfunctions start-execution --state-machine-arn {arn}",
                "Starts a run on the deployed defaults; `fmrec run` starts one and follows it.",
            ),
            ("EndpointName", settings.endpoint_name, "The k-NN endpoint, of a `recommend` run."),
            *(
                (
                    name,
                    group_name(settings.prefix, task, settings.dataset_name),
                    f"Model package group of the {task} models.",
                )
                for task, name in GROUP_OUTPUTS.items()
            ),
            (
                "FmEndpointName",
                settings.scoring_endpoint_name,
                "The endpoint that scores pairs, of a `predict-rating` run.",
            ),
            (
                "StarterFunction",
                starter.function.function_name,
                "The function that starts runs when one is due.",
            ),
            ("EncodingJobName", encoding.job.job_name, "The Glue job."),
        ):
            CfnOutput(self, name, value=value, description=description)
