"""What a failure's sentence says: what failed, why, where to look, what to do."""

import json
from typing import Any

import pytest

from fmrec.execution import failures

ARN = "arn:{}:states:{}:000000000000:execution:machine:r-1"
REFUSAL = (
    "The account-level service limit 'ml.m5.2xlarge for endpoint usage' is {} Instances, with current "
    "utilization of {} Instances and a request delta of 1 Instances. Please use AWS Service Quotas."
)


def explain(
    state: Any = "Train the factorization machine",
    partition: Any = "aws",
    region: Any = "eu-west-1",
    **failure: Any,
) -> Any:
    failure = {"state": state, "log": "", "name": "", "error": {"Error": "E", "Cause": ""}} | failure
    return failures.explain(failure, ARN.format(partition, region))


def test_a_failed_training_job_is_named_with_its_reason_its_log_and_its_page() -> None:
    cause = {"TrainingJobName": "fmrec-r-1-fm-1", "FailureReason": "ClientError: NaN values in train"}
    explanation = explain(
        log="training",
        name="fmrec-r-1-fm-1",
        error={"Error": "States.TaskFailed", "Cause": json.dumps(cause)},
    )

    assert explanation.error == "BadData"
    assert explanation.sentence.startswith(
        "'Train the factorization machine' failed: ClientError: NaN values in train. Look at training job "
        "fmrec-r-1-fm-1, log group /aws/sagemaker/TrainingJobs"
    )
    assert (
        "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/jobs/fmrec-r-1-fm-1"
        in explanation.sentence
    )
    assert "have to change" in explanation.sentence


@pytest.mark.parametrize(
    ("log", "cause", "part"),
    [
        (
            "transform",
            {"TransformJobName": "t-1", "FailureReason": "x"},
            "log group /aws/sagemaker/TransformJobs",
        ),
        (
            "tuning",
            {"HyperParameterTuningJobName": "h-1", "FailureReason": "All training jobs failed."},
            "sagemaker/home?region=eu-west-1#/hyper-tuning-jobs/h-1",
        ),
        ("glue", {"Id": "jr_1", "ErrorMessage": "no rows"}, "run jr_1 of Glue job n"),
        ("function", {"errorMessage": "no such object"}, "the log of the function n"),
        ("endpoint", {}, "log group /aws/sagemaker/Endpoints/n"),
    ],
)
def test_where_to_look_depends_on_what_ran(log: Any, cause: Any, part: Any) -> None:
    explanation = explain(log=log, name="n", error={"Error": "E", "Cause": json.dumps(cause)})

    assert part in explanation.sentence
    assert "/states/home?region=eu-west-1#/v2/executions/details/arn:aws:states" in explanation.sentence


@pytest.mark.parametrize(
    ("error", "cause", "name", "part"),
    [
        ("States.Timeout", "", "TimedOut", "longer than its limit"),
        (
            "States.TaskFailed",
            '{"FailureReason": "AlgorithmError: exit code: 137"}',
            "OutOfMemory",
            "memory_safety_factor",
        ),
        (
            "States.TaskFailed",
            '{"FailureReason": "CapacityError: Unable to provision requested ML compute capacity."}',
            "CapacityMissing",
            "start the execution again later",
        ),
        (
            "Lambda.AWSLambdaException",
            "User: x is not authorized to perform: lambda:InvokeFunction",
            "AccessDenied",
            "Deploy the stacks again",
        ),
        ("SageMaker.AmazonSageMakerException", "Rate exceeded", "Throttled", "repeating did not help"),
        ("InputError", '{"errorMessage": "no column rating: rename it"}', "InputError", "rename it."),
        (
            "States.TaskFailed",
            '{"Id": "jr_1", "ErrorMessage": "InputError: a.csv.gz can\'t be read: upload it again"}',
            "InputError",
            "upload it again.",
        ),
        (
            "States.TaskFailed",
            '{"Id": "jr_1", "ErrorMessage": "Error Category: UNCLASSIFIED_ERROR; Failed Line Number: 9; '
            'fmrec.errors.SettingsError: rename it"}',
            "SettingsError",
            "rename it.",
        ),
        (
            "States.TaskFailed",
            '{"Id": "jr_1", "ErrorMessage": "Py4JError: InputErrors"}',
            "States.TaskFailed",
            "Start the execution again when the cause is gone.",
        ),
        ("Some.Error", "it broke", "Some.Error", "Start the execution again when the cause is gone."),
    ],
)
def test_each_kind_of_failure_has_a_name_and_an_advice(error: Any, cause: Any, name: Any, part: Any) -> None:
    explanation = explain(error={"Error": error, "Cause": cause})

    assert explanation.error == name
    assert part in explanation.sentence


def test_errors_of_this_project_say_themselves_what_to_do() -> None:
    explanation = explain(error={"Error": "InputError", "Cause": '{"errorMessage": "rename the column."}'})

    assert explanation.sentence.endswith("r-1>.")
    assert explanation.sentence.count("rename the column.") == 1


@pytest.mark.parametrize(("limit", "used", "waiting"), [(0, 0, False), (2, 2, True)])
def test_a_refused_quota_gives_the_command_that_asks_for_more(limit: Any, used: Any, waiting: Any) -> None:
    explanation = explain(
        error={
            "Error": "SageMaker.ResourceLimitExceededException",
            "Cause": REFUSAL.format(limit, used),
        }
    )

    assert explanation.error == "QuotaRefused"
    assert "aws service-quotas request-service-quota-increase" in explanation.sentence
    assert "--region eu-west-1" in explanation.sentence
    assert ("Waiting" in explanation.sentence) is waiting


def test_when_every_instance_was_refused_all_are_named() -> None:
    explanation = explain(
        state="Is an instance candidate left for FM training?",
        error={"Error": "NoInstanceLeft", "Cause": ""},
        planned={"no_candidate": None, "quota_increase": None},
        refused=[
            {"instance_type": "ml.m5.2xlarge", "cause": REFUSAL.format(0, 0)},
            {"instance_type": "ml.c5.xlarge", "cause": "AWS has no capacity of this type at the moment"},
        ],
    )

    assert explanation.error == "NoInstanceLeft"
    assert "ml.m5.2xlarge (The account-level service limit" in explanation.sentence
    assert "ml.c5.xlarge (AWS has no capacity" in explanation.sentence
    assert "request-service-quota-increase" in explanation.sentence


def test_when_no_instance_suits_the_plans_reason_is_given() -> None:
    explanation = explain(
        error={"Error": "NoInstanceLeft", "Cause": ""},
        planned={
            "no_candidate": "fm_training: needs 900 GiB; lower num_factors",
            "quota_increase": {
                "quota_name": "ml.r5.large for training job usage",
                "quota_code": "L-1",
                "limit": 0,
                "used": None,
                "desired_value": 1,
                "waiting_can_help": False,
            },
        },
        refused=[],
    )

    assert "no instance suits: fm_training: needs 900 GiB; lower num_factors." in explanation.sentence
    assert "Quota 'ml.r5.large for training job usage' (L-1) is 0" in explanation.sentence
    assert "--quota-code L-1 --desired-value 1 --region eu-west-1" in explanation.sentence
    assert explanation.increase.desired == 1


@pytest.mark.parametrize(
    ("partition", "region", "domain"),
    [
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_links_lead_to_the_partitions_own_console(partition: Any, region: Any, domain: Any) -> None:
    assert f"https://{domain}/states/" in explain(partition=partition, region=region).sentence


def test_a_cause_of_any_length_and_form_is_explained() -> None:
    for cause in ("x" * 40_000, "[]", '{"a": 1}', "", '{"TrainingJobStatus": "Stopped"}'):
        explanation = explain(error={"Error": "E", "Cause": cause})
        assert len(explanation.sentence) < 4000
        assert len(explanation.subject) <= 100
    assert "it ended as Stopped" in explanation.sentence
