"""The definition's form: every state cared for, every way with an end, every action granted and used."""

import json
from typing import Any

import numpy as np
import pytest

from stacks.settings import Settings
from stacks.workflow import SUBSTITUTIONS, definition
from stacks.workflow.state_builders import EXPLAIN, INTEGRATIONS, merge, retry

FAILURE_PATH = {EXPLAIN, "Send the failure notification"}
REMARKS = {"Compare the lists with the champion's"}
"""What a run goes on without: what it serves is published already."""

ACTIONS = {
    "InvokeFunction": {"lambda:InvokeFunction"},
    "RunGlueJob": {"glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"},
    "RunTrainingJob": {
        "sagemaker:CreateTrainingJob",
        "sagemaker:DescribeTrainingJob",
        "sagemaker:StopTrainingJob",
        "sagemaker:AddTags",
        "iam:PassRole",
        "events:PutTargets",
        "events:PutRule",
        "events:DescribeRule",
        # Volumes are encrypted on the caller's behalf.
        "kms:CreateGrant",
        "kms:DescribeKey",
    },
    "RunTuningJob": {
        "sagemaker:CreateHyperParameterTuningJob",
        "sagemaker:DescribeHyperParameterTuningJob",
        "sagemaker:StopHyperParameterTuningJob",
    },
    "RunTransformJob": {
        "sagemaker:CreateTransformJob",
        "sagemaker:DescribeTransformJob",
        "sagemaker:StopTransformJob",
    },
    "CreateModel": {"sagemaker:CreateModel", "iam:PassRole"},
    "CreateEndpointConfig": {"sagemaker:CreateEndpointConfig"},
    "CreateServerlessConfig": {"sagemaker:CreateEndpointConfig"},
    "CreateEndpoint": {"sagemaker:CreateEndpoint"},
    "UpdateEndpoint": {"sagemaker:UpdateEndpoint"},
    # SageMaker looks at the alarms in the caller's name.
    "UpdateGuardedEndpoint": {"sagemaker:UpdateEndpoint", "cloudwatch:DescribeAlarms"},
    "DescribeEndpoint": {"sagemaker:DescribeEndpoint"},
    "DeleteEndpoint": {"sagemaker:DeleteEndpoint"},
    "DeregisterScalableTarget": {
        "application-autoscaling:DeregisterScalableTarget",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:DeleteAlarms",
    },
    "UpdateModelPackage": {"sagemaker:UpdateModelPackage"},
    "PublishMessage": {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"},
}
"""What the state machine's role needs for each integration (Step Functions developer guide)."""

SCALING_ACTIONS = {
    "RegisterScalableTarget": {
        "application-autoscaling:RegisterScalableTarget",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
        "iam:CreateServiceLinkedRole",
    },
    "PutScalingPolicy": {"application-autoscaling:PutScalingPolicy", "cloudwatch:PutMetricAlarm"},
}
"""The same where endpoints scale (SageMaker developer guide, "Auto scaling prerequisites")."""

OBSERVED = {
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
"""For the execution log and tracing, granted by CDK."""


def next_states(state: Any) -> Any:
    if "Next" in state:
        yield state["Next"]
    for catcher in state.get("Catch", []):
        yield catcher["Next"]
    for rule in state.get("Choices", []):
        yield rule["Next"]
    if "Default" in state:
        yield state["Default"]


@pytest.fixture(scope="session", params=["defaults", "waiting", "batch-only", "fail", "scaling"])
def states(request: Any) -> Any:
    """The states under every set of last resorts."""
    resorts = {
        "defaults": {},
        "waiting": {"training": "wait", "transform": "wait", "endpoint": "wait"},
        "batch-only": {"endpoint": "batch-only"},
        "fail": {"endpoint": "fail"},
        "scaling": {"endpoint": "serverless"},
    }[request.param]
    scaling: dict[str, Any] = {"scaling": {}} if request.param == "scaling" else {}
    settings = Settings.model_validate({"instances": {"last_resort": resorts}, "serving": scaling})
    return definition(settings)["States"]


def test_every_task_retries_and_catches_everything(tasks: Any, definition: Any) -> None:
    for name, task in tasks.items():
        assert task["Retry"], name
        for retrier in task["Retry"]:
            assert retrier["MaxAttempts"] >= 3
            assert retrier["BackoffRate"] > 1
            assert retrier["JitterStrategy"] == "FULL"
            assert "States.ALL" not in retrier["ErrorEquals"]
            assert "States.TaskFailed" not in retrier["ErrorEquals"]
        assert task["TimeoutSeconds"] > 0
        # A task in a Map can't leave it: the Map catches for it.
        inside = name == "Publish a batch of users"
        catching = definition["States"]["Publish the recommendations"] if inside else task
        assert catching["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name


def test_a_minute_of_throttling_is_outlasted_with_hardly_an_exception() -> None:
    rule = retry("Throttled")
    pauses = [
        min(rule["IntervalSeconds"] * rule["BackoffRate"] ** attempt, rule["MaxDelaySeconds"])
        for attempt in range(rule["MaxAttempts"])
    ]
    waited = np.random.default_rng(1).uniform(0, pauses, (10_000, len(pauses))).sum(axis=1)

    assert np.mean(waited < 60) < 0.01


def test_every_failure_goes_the_one_way(states: Any) -> None:
    for name, state in states.items():
        for catcher in state.get("Catch", []):
            if "States.ALL" in catcher["ErrorEquals"] and name not in FAILURE_PATH | REMARKS:
                assert catcher["Next"] == EXPLAIN
                assert catcher["Assign"]["failure"]["state"] == name
    assert [name for name, state in states.items() if state["Type"] == "Fail"] == ["The run failed"]


def test_every_state_exists_can_be_reached_and_reaches_an_end(states: Any) -> None:
    ends = {name for name, state in states.items() if state["Type"] in {"Fail", "Succeed"}}
    for name, state in states.items():
        for target in next_states(state):
            assert target in states, f"{name} goes to {target!r}, which is not there"
    reached, open_ends = set(), ["Initialize the run"]
    while open_ends:
        name = open_ends.pop()
        if name not in reached:
            reached.add(name)
            open_ends.extend(next_states(states[name]))
    assert reached == set(states)
    reaching = set(ends)
    while True:
        more = {n for n, s in states.items() if n not in reaching and reaching & set(next_states(s))}
        if not more:
            break
        reaching |= more
    assert reaching == set(states)


def test_names_of_states_are_words_that_fit_the_console(states: Any) -> None:
    for name in states:
        assert len(name) <= 80
        assert " " in name
        assert name[0].isupper()


def test_every_wait_is_bounded(states: Any) -> None:
    for state in states.values():
        if state["Type"] == "Wait":
            assert 0 < state["Seconds"] <= 600


def test_placeholders_are_exactly_those_that_the_stack_fills_in() -> None:
    serverless = Settings.model_validate(
        {"instances": {"last_resort": {"endpoint": "serverless"}}, "serving": {"scaling": {}}}
    )
    text = json.dumps(definition(serverless))
    used = {name for name in SUBSTITUTIONS if f"${{{name}}}" in text}
    assert used == set(SUBSTITUTIONS)
    for name in SUBSTITUTIONS:
        text = text.replace(f"${{{name}}}", "")
    assert "${" not in text


def granted_to_the_machine(found: Any, stack: str) -> set[str]:
    (policy,) = (
        policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in found.resources(stack, "AWS::IAM::Policy").items()
        if name.startswith("WorkflowRole")
    )
    granted: set[str] = set()
    for statement in policy:
        actions = statement["Action"]
        granted |= set(actions if isinstance(actions, list) else [actions])
    return granted


def test_the_role_has_every_action_that_the_machine_takes_and_no_other(
    synthesis: Any, throw_away: Any, tasks: Any
) -> None:
    used = {task["Resource"].strip("${}") for task in tasks.values()}
    every = ACTIONS | SCALING_ACTIONS
    assert used | {"CreateServerlessConfig"} | set(SCALING_ACTIONS) == set(INTEGRATIONS) == set(every)
    by_default = set().union(*ACTIONS.values()) | OBSERVED
    assert granted_to_the_machine(synthesis, "FmRecPipeline") == by_default
    scaling = set().union(*SCALING_ACTIONS.values())
    assert granted_to_the_machine(throw_away, "TrialPipeline") == by_default | scaling


FUNCTIONS = {
    "CheckInput": {"s3:GetObject": {"raw/*", "encoded/*", "embeddings/*", "evaluations/*", "champion/*"}},
    "RegisterModel": {"s3:GetObject": {"models/*"}, "s3:PutObject": {"evaluations/*"}},
    "CheckQuality": {},
    "ExplainFailure": {},
    "ChooseInstances": {
        "s3:GetObject": {"encoded/*", "champion/*", "cache/account.json*"},
        "s3:PutObject": {"cache/account.json*"},
    },
    "ExportEmbeddings": {
        "s3:GetObject": {"encoded/*", "models/*", "embeddings/*"},
        "s3:PutObject": {"embeddings/*"},
    },
    "PublishRecommendations": {
        "s3:GetObject": {"encoded/*", "embeddings/*", "neighbours/*", "rules/*"},
        "s3:PutObject": {"recommendations/*"},
    },
    "SmokeTestEndpoint": {"s3:GetObject": {"encoded/*", "embeddings/*", "rules/*"}},
    "ChooseThreshold": {
        "s3:GetObject": {"encoded/*", "scores/*"},
        "s3:PutObject": {"predictions/*"},
    },
    "SmokeTestScoring": {"s3:GetObject": {"encoded/*", "scores/*"}},
    "PublishPopular": {"s3:GetObject": {"encoded/*", "rules/*"}},
    "AcquirePublishingLock": {"s3:GetObject": {"champion/*"}},
    "RemoveDepartedUsers": {},
    "EvaluateRanking": {
        "s3:GetObject": {"encoded/*", "embeddings/*", "champion/*"},
        "s3:PutObject": {"evaluations/*"},
    },
    "WriteReport": {"s3:GetObject": {"champion/*"}, "s3:PutObject": {"runs/*", "champion/*"}},
}
OTHER_ACTIONS = {
    "CheckInput": {"sagemaker:DescribeModelPackage"},
    "RegisterModel": {
        "sagemaker:CreateModelPackageGroup",
        "sagemaker:DescribeModelPackageGroup",
        "sagemaker:CreateModelPackage",
        "sagemaker:UpdateModelPackage",
        "ecr:BatchGetImage",
        "ecr:DescribeImages",
    },
    "PublishRecommendations": {"dynamodb:BatchWriteItem"},
    "PublishPopular": {"dynamodb:BatchWriteItem"},
    "AcquirePublishingLock": {"dynamodb:GetItem", "dynamodb:PutItem"},
    "RemoveDepartedUsers": {"dynamodb:Scan", "dynamodb:DeleteItem", "kms:Decrypt"},
    "SmokeTestEndpoint": {"dynamodb:GetItem", "sagemaker:InvokeEndpoint"},
    "SmokeTestScoring": {"sagemaker:InvokeEndpoint"},
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_reads_and_writes_only_its_prefixes(synthesis: Any, function: Any) -> None:
    from fmrec.instances.permissions import READ_ACTIONS

    (policy,) = (
        policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in synthesis.resources("FmRecPipeline", "AWS::IAM::Policy").items()
        if name.startswith(f"Functions{function}")
    )
    prefixes, others = {}, set()
    for statement in policy:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        for action in actions:
            if action in {"s3:GetObject", "s3:PutObject"}:
                resources = statement["Resource"]
                resources = resources if isinstance(resources, list) else [resources]
                prefixes[action] = {resource["Fn::Join"][1][-1].lstrip("/") for resource in resources}
            else:
                others.add(action)
    assert prefixes == FUNCTIONS[function]
    expected = {"logs:CreateLogStream", "logs:PutLogEvents"} | OTHER_ACTIONS.get(function, set())
    if "s3:GetObject" in prefixes:
        expected |= {"s3:ListBucket", "kms:Decrypt"}
    if "s3:PutObject" in prefixes:
        expected |= {"s3:AbortMultipartUpload", "kms:Decrypt", "kms:GenerateDataKey"}
    if function == "ChooseInstances":
        expected |= set(READ_ACTIONS)
    assert others == expected


@pytest.mark.parametrize(
    ("function", "endpoint"), [("SmokeTestEndpoint", "fmrec-*knn"), ("SmokeTestScoring", "fmrec-*fm")]
)
def test_who_asks_an_endpoint_may_ask_only_their_own(synthesis: Any, function: str, endpoint: str) -> None:
    (policy,) = (
        policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in synthesis.resources("FmRecPipeline", "AWS::IAM::Policy").items()
        if name.startswith(f"Functions{function}")
    )
    (asking,) = (s for s in policy if s["Action"] == "sagemaker:InvokeEndpoint")
    assert asking["Resource"]["Fn::Join"][1][-1] == f":endpoint/{endpoint}"


def test_quotas_may_only_be_requested_where_settings_allow_it(synthesis: Any, throw_away: Any) -> None:
    for found, stack, allowed in (
        (synthesis, "FmRecPipeline", False),
        (throw_away, "TrialPipeline", True),
    ):
        text = json.dumps(found.resources(stack, "AWS::IAM::Policy"))
        assert ("servicequotas:RequestServiceQuotaIncrease" in text) is allowed


def test_two_states_of_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match="two states are named 'A'"):
        merge({"A": {}}, {"A": {}})
