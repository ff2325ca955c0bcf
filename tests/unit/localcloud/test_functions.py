"""Lambda: errors, logs and answers are those of AWS's Python runtime."""

from __future__ import annotations

import io
import json
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

HANDLER = """
import json, logging, os, sys, math

logging.getLogger().setLevel("INFO")
log = logging.getLogger("handler")

class NoCapacityError(Exception):
    pass

def handler(event, context):
    if event.get("raise"):
        raise NoCapacityError(event["raise"])
    if event.get("log"):
        log.info(event["log"])
        print("printed " + event["log"])
    if event.get("noise"):
        for number in range(event["noise"]):
            os.write(1, b'{"status": "ok", "result": "noise"}\\n')
    if event.get("nan"):
        return {"score": math.nan}
    if event.get("size"):
        return "x" * event["size"]
    if event.get("exit"):
        sys.exit(1)
    return {"who": os.environ.get("AWS_ACCESS_KEY_ID", "")[:4], "path": os.environ.get("PYTHONPATH")}
"""


FAILS_TWICE = """
def handler(event, context):
    with open(event["detail"]["file"], "a+") as calls:
        calls.write(event["detail-type"] + "\\n")
        calls.flush()
        calls.seek(0)
        if len(calls.readlines()) < 3:
            raise RuntimeError("not yet")
"""


@pytest.fixture(scope="module")
def invoke(cloud: Any) -> Any:
    functions = cloud.client("lambda")
    role = cloud.role("functions", "lambda")

    def deploy(name: str, source: str) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as bundle:
            bundle.writestr("index.py", source)
        functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="index.handler",
            Role=role,
            Timeout=20,
            Code={"ZipFile": archive.getvalue()},
        )

    deploy("functions", HANDLER)
    deploy("functions-fails-twice", FAILS_TWICE)
    deploy("functions-import", "import no_such_package\ndef handler(event, context): pass\n")

    def call(event: dict[str, Any], name: str = "functions") -> tuple[str | None, Any]:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())

    return call


def test_an_error_has_the_name_of_its_class_and_a_stack_trace(invoke: Any) -> None:
    kind, payload = invoke({"raise": "none left of ml.m5.large"})
    assert kind == "Unhandled"
    assert payload["errorType"] == "NoCapacityError"
    assert payload["errorMessage"] == "none left of ml.m5.large"
    assert 'raise NoCapacityError(event["raise"])' in payload["stackTrace"][-1]


def test_step_functions_catches_the_error_by_that_name(cloud: Any, invoke: Any) -> None:
    role = cloud.role("functions-machine", "states", "lambda:InvokeFunction")
    catch = {
        "ErrorEquals": ["NoCapacityError"],
        "Next": "Wait",
        "Output": "{% $parse($states.errorOutput.Cause).errorMessage %}",
    }
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": "functions", "Payload": {"raise": "none left"}},
        "Catch": [catch],
        "End": True,
    }  # fmt: skip
    ended = cloud.run(cloud.machine("functions", role, {"Choose": task, "Wait": {"Type": "Succeed"}}))
    assert (ended["status"], ended["output"]) == ("SUCCEEDED", "none left")


@pytest.mark.parametrize(
    ("event", "name", "error", "message"),
    [
        ({"nan": True}, "functions", "Runtime.MarshalError", "Unable to marshal response"),
        ({"size": 7_000_000}, "functions", "Function.ResponseSizeTooLarge", "6291556 bytes"),
        ({"exit": True}, "functions", "Runtime.ExitError", "Runtime exited"),
        ({}, "functions-import", "Runtime.ImportModuleError", "Unable to import module 'index': No module named 'no_such_package'"),
    ],
)  # fmt: skip
def test_the_runtimes_own_errors_have_their_names(
    invoke: Any, event: Any, name: str, error: str, message: str
) -> None:
    _, payload = invoke(event, name)
    assert payload["errorType"] == error
    assert message in payload["errorMessage"]


def test_lines_on_standard_output_are_no_answer_however_many(invoke: Any) -> None:
    kind, payload = invoke({"noise": 500})
    assert kind is None
    assert payload["who"] == "ASIA"  # credentials of its role
    assert payload["path"] is None  # and nothing of this checkout


def test_logging_and_print_reach_cloudwatch_logs(cloud: Any, invoke: Any) -> None:
    invoke({"log": "chosen ml.m5.xlarge"})
    logs = cloud.client("logs")
    messages = [
        event["message"] for event in logs.filter_log_events(logGroupName="/aws/lambda/functions")["events"]
    ]
    logged = [message for message in messages if "chosen ml.m5.xlarge" in message]
    assert any(
        message.startswith("[INFO]\t20") and message.endswith("\tchosen ml.m5.xlarge") for message in logged
    )
    assert "printed chosen ml.m5.xlarge" in logged


def test_a_function_that_eventbridge_invokes_is_run_again_when_it_fails(
    cloud: Any, invoke: Any, tmp_path: Path
) -> None:
    """Three times in all, as Lambda's asynchronous invocations are, and an alarm sees that it failed."""
    events, calls, cloudwatch = cloud.client("events"), tmp_path / "calls", cloud.client("cloudwatch")
    errors: dict[str, Any] = {"Namespace": "AWS/Lambda", "MetricName": "Errors"}
    for name in ("functions-fails-twice", "another"):
        cloudwatch.put_metric_alarm(
            **errors,
            AlarmName=name,
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            Statistic="Sum",
            Period=300,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="notBreaching",
        )
    events.put_rule(Name="functions", EventPattern=json.dumps({"source": ["test.functions"]}))
    function = cloud.client("lambda").get_function(FunctionName="functions-fails-twice")["Configuration"]
    events.put_targets(Rule="functions", Targets=[{"Id": "1", "Arn": function["FunctionArn"]}])
    entry = {"Source": "test.functions", "DetailType": "ask", "Detail": json.dumps({"file": str(calls)})}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    deadline = time.monotonic() + 30
    while not (calls.exists() and calls.read_text() == "ask\n" * 3):
        assert time.monotonic() < deadline, calls.exists() and calls.read_text()
        time.sleep(0.1)
    while counted(cloudwatch, "Invocations") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert counted(cloudwatch, "Errors") == 2
    alarms = cloudwatch.describe_alarms(AlarmNames=["functions-fails-twice", "another"])
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms["MetricAlarms"]}
    assert states["functions-fails-twice"] == "ALARM"
    assert states["another"] != "ALARM"


def counted(cloudwatch: Any, metric: str) -> float:
    now = datetime.now(UTC)
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName=metric,
        Dimensions=[{"Name": "FunctionName", "Value": "functions-fails-twice"}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=7200,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))
