"""Step Functions against Glue, SageMaker and others: results, error names, stopping, limits."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

BUCKET = "integrations"
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/knn:1"
SAGEMAKER_ROLE = "arn:aws:iam::000000000000:role/integrations-sagemaker"

GLUE_SCRIPT = """
import sys, time
mode = dict(zip(sys.argv, sys.argv[1:]))["--mode"]
if mode == "raise":
    raise ValueError("no column rating in the first file")
if mode == "sleep":
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def role(cloud: Any) -> str:
    """A role that may do everything a test's state machine does."""
    return str(cloud.role("integrations", "states", "*"))


@pytest.fixture(scope="module")
def job(cloud: Any) -> str:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="job.py", Body=GLUE_SCRIPT.encode())
    cloud.client("glue").create_job(
        Name="integrations",
        Role=cloud.role("integrations-glue", "glue", "s3:*"),
        Command={"Name": "glueetl", "ScriptLocation": f"s3://{BUCKET}/job.py"},
    )
    cloud.role("integrations-sagemaker", "sagemaker", "s3:*")
    return "integrations"


def glue_task(job: str, mode: str, **fields: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::glue:startJobRun.sync",
        "Arguments": {"JobName": job, "Arguments": {"--mode": mode}},
        "End": True,
        **fields,
    }


def training_job(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": SAGEMAKER_ROLE,
        "HyperParameters": {"k": "2", "predictor_type": "classifier", "feature_dim": "2", "sample_size": "4"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "ContentType": "text/csv",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train/"}},
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **changes,
    }


def test_a_glue_run_answers_its_description_with_times_in_milliseconds(
    cloud: Any, role: str, job: str
) -> None:
    before = time.time()
    ended = cloud.run(cloud.machine("glue-ok", role, {"Encode": glue_task(job, "ok")}))
    assert ended["status"] == "SUCCEEDED", ended
    run = ended["output"]
    assert run["JobRunState"] == "SUCCEEDED"
    assert run["JobName"] == job
    assert before * 1000 - 1 <= run["StartedOn"] <= run["CompletedOn"] <= time.time() * 1000
    assert isinstance(run["StartedOn"], int)


def test_a_failed_glue_run_is_caught_with_its_description_as_the_cause(
    cloud: Any, role: str, job: str
) -> None:
    catch = {
        "ErrorEquals": ["States.TaskFailed"],
        "Next": "Failed",
        "Output": "{% $parse($states.errorOutput.Cause).ErrorMessage %}",
    }
    failed = {"Type": "Fail", "Error": "Encode", "Cause": "{% $states.input %}"}
    states = {"Encode": glue_task(job, "raise", Catch=[catch]), "Failed": failed}
    ended = cloud.run(cloud.machine("glue-failed", role, states))
    assert (ended["status"], ended["error"]) == ("FAILED", "Encode")
    assert ended["cause"] == "ValueError: no column rating in the first file"


def test_a_second_run_at_a_time_fails_by_the_name_that_states_catch(
    cloud: Any, role: str, job: str, wait_until: Any
) -> None:
    machine = cloud.machine("glue-twice", role, {"Encode": glue_task(job, "sleep")})
    first = cloud.start(machine)
    run = wait_until(lambda: next(iter(cloud.processes("glue")), None))
    second = cloud.run(machine)
    assert second["error"] == "Glue.ConcurrentRunsExceededException"
    cloud.client("stepfunctions").stop_execution(executionArn=first)
    wait_until(lambda: not cloud.processes("glue"))
    assert cloud.ended(first)["status"] == "ABORTED"
    stopped = wait_until(
        lambda: (
            (found := cloud.client("glue").get_job_run(JobName=job, RunId=run)["JobRun"])["JobRunState"]
            == "STOPPED"
            and found
        )
    )
    assert stopped["CompletedOn"] >= stopped["StartedOn"]


@pytest.mark.parametrize("where", ["state", "machine"])
def test_a_timeout_stops_the_run(cloud: Any, role: str, job: str, wait_until: Any, where: str) -> None:
    timeout = {"TimeoutSeconds": 1}
    task = glue_task(job, "sleep", **(timeout if where == "state" else {}))
    ended = cloud.run(
        cloud.machine(
            f"glue-timeout-{where}", role, {"Encode": task}, **(timeout if where == "machine" else {})
        )
    )
    assert ended["status"] == ("FAILED" if where == "state" else "TIMED_OUT")
    assert ended["error"] == "States.Timeout"
    wait_until(lambda: not cloud.processes("glue"))


def sagemaker_task(action: str, arguments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::sagemaker:{action}",
        "Arguments": arguments,
        "End": True,
        **fields,
    }


def test_a_training_job_runs_to_its_end_and_answers_its_description(cloud: Any, role: str, job: str) -> None:
    rows = "0,0.0,0.1\n0,0.1,0.0\n1,5.0,5.1\n1,5.1,5.0\n"
    cloud.client("s3").put_object(Bucket=BUCKET, Key="train/rows.csv", Body=rows.encode())
    task = sagemaker_task("createTrainingJob.sync", training_job("trained"))
    ended = cloud.run(cloud.machine("train-ok", role, {"Train": task}))
    assert ended["status"] == "SUCCEEDED", ended
    described = ended["output"]
    assert described["TrainingJobStatus"] == "Completed"
    assert described["TrainingJobName"] == "trained"
    assert isinstance(described["CreationTime"], int)
    assert described["TrainingEndTime"] >= described["TrainingStartTime"]
    bucket, _, key = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    assert cloud.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_a_refusal_for_quota_is_caught_by_its_name_and_carries_the_services_words(
    cloud: Any, role: str, job: str
) -> None:
    quota = "ml.m5.large for training job usage"
    large = cloud.control("GET", "quotas")[1]
    cloud.control("PUT", "quotas", large | {quota: 0})
    try:
        catch = {
            "ErrorEquals": ["SageMaker.ResourceLimitExceededException"],
            "Next": "Next type",
            "Output": "{% $states.errorOutput %}",
        }
        task = sagemaker_task("createTrainingJob.sync", training_job("refused"), Catch=[catch])
        ended = cloud.run(
            cloud.machine("train-refused", role, {"Train": task, "Next type": {"Type": "Succeed"}})
        )
    finally:
        cloud.control("PUT", "quotas", large)
    assert ended["status"] == "SUCCEEDED", ended
    assert f"The account-level service limit '{quota}' is 0 Instances" in ended["output"]["Cause"]
    assert "Error Code: ResourceLimitExceeded" in ended["output"]["Cause"]


def test_capacity_that_is_missing_fails_the_task_with_the_reason_in_the_description(
    cloud: Any, role: str, job: str
) -> None:
    cloud.control("PUT", "faults", {"capacity_missing": ["ml.m5.large"]})
    try:
        task = sagemaker_task("createTrainingJob.sync", training_job("no-capacity"))
        ended = cloud.run(cloud.machine("train-capacity", role, {"Train": task}))
    finally:
        cloud.control("PUT", "faults", {})
    assert ended["error"] == "States.TaskFailed"
    assert json.loads(ended["cause"])["FailureReason"].startswith("CapacityError: Unable to provision")


@pytest.mark.parametrize(
    ("action", "arguments", "error", "cause"),
    [
        ("createTrainingJob.sync", training_job("x", Metrics=[]), "States.Runtime", "'Metrics' is not supported"),
        ("createTrainingJob", training_job("x", HyperParameters={"k": 2}), "States.Runtime", "Invalid type for parameter HyperParameters.k"),
        ("createTrainingJob", {"TrainingJobName": "x"}, "States.Runtime", 'Missing required parameter in input: "OutputDataConfig"'),
        (
            "createTrainingJob",
            training_job("x", ResourceConfig={"InstanceType": "ml.m5.tiny", "InstanceCount": 1, "VolumeSizeInGB": 5}),
            "SageMaker.AmazonSageMakerException",
            "Error Code: ValidationException",
        ),
        ("createEndpoint", {"EndpointName": "x", "EndpointConfigName": "none"}, "SageMaker.AmazonSageMakerException", "Could not find"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_as_aws_refuses_it(
    cloud: Any,
    role: str,
    job: str,
    request: pytest.FixtureRequest,
    action: str,
    arguments: Any,
    error: str,
    cause: str,
) -> None:
    name = f"wrong-{request.node.callspec.indices['action']}"
    ended = cloud.run(cloud.machine(name, role, {"Do": sagemaker_task(action, arguments)}))
    assert ended["error"] == error, ended
    assert cause in ended["cause"]


def sdk_task(service: str, action: str, arguments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    resource = f"arn:aws:states:::aws-sdk:{service}:{action}"
    return {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True, **fields}


def test_sdk_calls_answer_and_fail_under_the_names_of_the_sdk(cloud: Any, role: str, job: str) -> None:
    describe = sdk_task("sagemaker", "describeEndpoint", {"EndpointName": "none"})
    ended = cloud.run(cloud.machine("sdk-describe", role, {"Describe": describe}))
    assert ended["error"] == "SageMaker.SageMakerException"
    assert "Could not find endpoint" in ended["cause"]
    listing = cloud.run(cloud.machine("sdk-list", role, {"List": sdk_task("sagemaker", "listEndpoints", {})}))
    assert listing["output"] == {"Endpoints": []}
    invoke = sdk_task(
        "sagemakerruntime", "invokeEndpoint", {"EndpointName": "none", "Body": {"instances": []}}
    )
    ended = cloud.run(cloud.machine("sdk-invoke", role, {"Ask": invoke}))
    assert ended["error"] == "SageMakerRuntime.ValidationErrorException", ended


def test_s3_objects_are_written_and_read_by_sdk_calls_with_the_machines_role(
    cloud: Any, role: str, job: str
) -> None:
    report = {"status": "done", "films": ["Fargo"]}
    states = {
        "Write": sdk_task("s3", "putObject", {"Bucket": BUCKET, "Key": "r.json", "Body": report}, Next="Read", End=False),
        "Read": sdk_task("s3", "getObject", {"Bucket": BUCKET, "Key": "r.json"}, Output="{% $parse($states.result.Body) %}"),
    }  # fmt: skip
    del states["Write"]["End"]
    assert cloud.run(cloud.machine("s3-sdk", role, states))["output"] == report
    missing = sdk_task("s3", "getObject", {"Bucket": BUCKET, "Key": "none"})
    assert cloud.run(cloud.machine("s3-none", role, {"Read": missing}))["error"] == "S3.NoSuchKeyException"
    poor = cloud.role("integrations-poor", "states")
    denied = cloud.run(cloud.machine("s3-denied", poor, {"Read": missing}))
    assert denied["error"] == "S3.S3Exception"


def test_a_machine_may_only_do_what_its_role_allows(cloud: Any, job: str) -> None:
    poor = cloud.role("integrations-start-only", "states", "glue:StartJobRun", "sagemaker:CreateTrainingJob")
    ended = cloud.run(cloud.machine("glue-denied", poor, {"Encode": glue_task(job, "ok")}))
    assert ended["error"] == "Glue.AWSGlueException"
    assert (
        "is not authorized to perform: glue:GetJobRun on resource: arn:aws:glue:us-east-1:000000000000:job/"
        in ended["cause"]
    )
    ended = cloud.run(
        cloud.machine("train-denied", poor, {"Train": sagemaker_task("createTrainingJob", training_job("x"))})
    )
    assert ended["error"] == "SageMaker.AmazonSageMakerException"
    assert f"iam:PassRole on resource: {SAGEMAKER_ROLE}" in ended["cause"]


def test_parallel_honours_arguments_output_and_assign_and_keeps_branch_variables_inside(
    cloud: Any, role: str
) -> None:
    def branch(expression: str) -> dict[str, Any]:
        state = {"Type": "Pass", "Assign": {"seen": expression}, "Output": expression, "End": True}
        return {"StartAt": "Pass", "States": {"Pass": state}}

    states = {
        "Before": {"Type": "Pass", "Assign": {"seen": 0}, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Arguments": {"n": "{% $states.input.n + 1 %}"},
            "Branches": [branch("{% $states.input.n * 10 %}"), branch("{% $states.input.n * 100 %}")],
            "Assign": {"both": "{% $states.result %}"},
            "Output": {"sum": "{% $sum($states.result) %}"},
            "Next": "After",
        },
        "After": {"Type": "Pass", "Output": {"in": "{% $states.input %}", "both": "{% $both %}", "seen": "{% $seen %}"}, "End": True},
    }  # fmt: skip
    output = cloud.run(cloud.machine("parallel", role, states), {"n": 1})["output"]
    assert output == {"in": {"sum": 220}, "both": [20, 200], "seen": 0}


def test_succeed_answers_its_output(cloud: Any, role: str) -> None:
    states = {
        "Before": {"Type": "Pass", "Assign": {"noted": "{% $states.input.a + 1 %}"}, "Next": "Done"},
        "Done": {"Type": "Succeed", "Output": {"noted": "{% $noted %}", "fixed": "text"}},
    }
    output = cloud.run(cloud.machine("succeed", role, states), {"a": 1})["output"]
    assert output == {"noted": 2, "fixed": "text"}


def test_a_failed_execution_sets_off_the_alarm_on_failures(cloud: Any, role: str, wait_until: Any) -> None:
    cloudwatch = cloud.client("cloudwatch")
    machine = cloud.machine("alarming", role, {"Stop": {"Type": "Fail", "Error": "Stop", "Cause": "because"}})
    cloudwatch.put_metric_alarm(
        AlarmName="failed-executions",
        Namespace="AWS/States",
        MetricName="ExecutionsFailed",
        Dimensions=[{"Name": "StateMachineArn", "Value": machine}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    assert cloud.run(machine)["error"] == "Stop"
    wait_until(
        lambda: (
            cloudwatch.describe_alarms(AlarmNames=["failed-executions"])["MetricAlarms"][0]["StateValue"]
            == "ALARM"
        )
    )


def test_an_alarm_looks_at_its_own_dimensions_and_data_that_ends_is_no_breach(cloud: Any) -> None:
    cloudwatch = cloud.client("cloudwatch")
    mine, other = ([{"Name": "EndpointName", "Value": name}] for name in ("mine", "other"))
    alarm = {
        "AlarmName": "errors-of-mine",
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": mine,
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }

    def state(**changes: Any) -> str:
        cloudwatch.put_metric_alarm(**alarm | changes)
        found: str = cloudwatch.describe_alarms(AlarmNames=["errors-of-mine"])["MetricAlarms"][0][
            "StateValue"
        ]
        return found

    def put(dimensions: Any) -> None:
        datum = {"MetricName": "Invocation5XXErrors", "Dimensions": dimensions, "Value": 1}
        cloudwatch.put_metric_data(Namespace="AWS/SageMaker", MetricData=[datum])

    put(other)
    assert state() == "OK"
    put(mine)
    assert state() == "ALARM"
    assert state(Dimensions=[{"Name": "EndpointName", "Value": "nobody"}]) == "OK"


def test_more_than_256_kib_fails_and_is_not_caught_by_all(cloud: Any, role: str, job: str) -> None:
    cloud.client("s3").put_object(Bucket=BUCKET, Key="large.txt", Body=b"x" * 300_000)
    read = sdk_task("s3", "getObject", {"Bucket": BUCKET, "Key": "large.txt"})
    caught = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}
    states = {"Read": read | {"Catch": [caught]}, "Caught": {"Type": "Succeed"}}
    assert cloud.run(cloud.machine("large", role, states))["error"] == "States.DataLimitExceeded"
