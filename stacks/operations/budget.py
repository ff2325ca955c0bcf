"""A monthly budget for what carries the deployment's tag, with messages to the topic."""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.settings import Settings
from stacks.storage import StorageStack
from stacks.workflow.names import TAG

ACTUAL_PERCENT, FORECAST_PERCENT = 80, 100


class MonthlyBudget(Construct):
    """Sends a message at 80 % of the actual and 100 % of the forecast cost."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        usd: float,
    ) -> None:
        super().__init__(scope, construct_id)
        topic = storage.topic
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{TAG}${settings.prefix}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(address=topic.topic_arn, subscription_type="SNS")
                    ],
                )
                for kind, percent in (("ACTUAL", ACTUAL_PERCENT), ("FORECASTED", FORECAST_PERCENT))
            ],
        )


def let_budgets_publish(storage: StorageStack) -> None:
    """Let AWS Budgets of this account send messages to the encrypted topic."""
    principal = iam.ServicePrincipal("budgets.amazonaws.com")
    own = {"StringEquals": {"aws:SourceAccount": storage.account}}
    storage.topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[principal],
            actions=["sns:Publish"],
            resources=[storage.topic.topic_arn],
            conditions=own,
        )
    )
    storage.key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[principal],
            actions=["kms:Decrypt", "kms:GenerateDataKey*"],
            resources=["*"],
            conditions=own,
        )
    )
