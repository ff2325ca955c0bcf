"""Endpoints and the runtime."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from localcloud.faults import ServiceFault
from localcloud.sagemaker import fleets
from localcloud.sagemaker.invocations import ModelFault


def ask(cloud: Any, body: bytes = b"hello", **headers: str) -> dict[str, Any]:
    answer, content_type, variant = cloud.service.invoke_endpoint(
        "endpoint", body, headers.get("content_type"), headers.get("accept"), headers.get("attributes")
    )
    assert (content_type, variant) == ("application/json", "AllTraffic")
    document: dict[str, Any] = json.loads(answer)
    return document


def test_an_endpoint_comes_into_service_and_answers(cloud: Any) -> None:
    cloud.model()
    cloud.config()
    cloud("CreateEndpoint", EndpointName="endpoint", EndpointConfigName="config")
    assert cloud("DescribeEndpoint", EndpointName="endpoint")["EndpointStatus"] == "Creating"
    endpoint = cloud.settled()
    assert endpoint["EndpointStatus"] == "InService"
    [variant] = endpoint["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    answer = ask(cloud, content_type="text/csv", accept="application/json", attributes="trace=1")
    assert answer["bytes"] == 5
    assert (answer["content_type"], answer["accept"], answer["attributes"]) == (
        "text/csv",
        "application/json",
        "trace=1",
    )
    assert json.loads(answer["model"])["files"] == {"train/part-00000": "rows"}
    assert answer["batch"] is None
    [process] = cloud.service.processes()
    assert (process["kind"], process["name"]) == ("endpoint", "endpoint")


def test_deleting_stops_the_program_and_forgets_the_endpoint(cloud: Any) -> None:
    cloud.model()
    cloud.config()
    cloud.endpoint()
    cloud("DeleteEndpoint", EndpointName="endpoint")
    cloud.until(lambda: not cloud("ListEndpoints")["Endpoints"])
    cloud.until(lambda: not cloud.service.processes())
    with pytest.raises(ServiceFault, match='Could not find endpoint "arn:aws:sagemaker:us-east-1'):
        cloud("DescribeEndpoint", EndpointName="endpoint")
    with pytest.raises(ServiceFault, match="Endpoint endpoint of account 000000000000 not found") as refusal:
        ask(cloud)
    assert refusal.value.code == "ValidationError"


@pytest.mark.parametrize(("trouble", "words"), [("CRASH", "exit code 1"), ("KILL", "killed by signal 9")])
def test_an_endpoint_whose_program_ends_while_starting_has_failed(
    cloud: Any, trouble: str, words: str
) -> None:
    cloud.model(Environment={"CRASH" if trouble == "CRASH" else "UNHEALTHY": "1"})
    cloud.config()
    cloud("CreateEndpoint", EndpointName="endpoint", EndpointConfigName="config")
    if trouble == "KILL":
        [process] = cloud.until(cloud.service.processes)
        os.kill(process["pid"], signal.SIGKILL)
    endpoint = cloud.settled()
    assert endpoint["EndpointStatus"] == "Failed"
    assert endpoint["FailureReason"].startswith(
        "The primary container for production variant AllTraffic did not pass the ping health check."
    )
    assert words in endpoint["FailureReason"]
    cloud("DeleteEndpoint", EndpointName="endpoint")
    cloud.until(lambda: not cloud("ListEndpoints")["Endpoints"])


def test_the_health_check_has_a_time_limit(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "STARTUP_SECONDS", 0.3)
    cloud.model(Environment={"UNHEALTHY": "1"})
    cloud.config()
    assert "didn't answer /ping with 200" in cloud.endpoint()["FailureReason"]
    cloud.until(lambda: not cloud.service.processes())


def test_an_update_serves_from_the_old_fleet_until_the_new_one_is_healthy(cloud: Any) -> None:
    cloud.model("old", Environment={"SAGEMAKER_BATCH": "old"})
    cloud.model("new", Environment={"SAGEMAKER_BATCH": "new"})
    cloud.config("one", "old")
    cloud.config("two", "new")
    cloud.endpoint(config="one")
    [before] = cloud.service.processes()
    cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="two")
    with pytest.raises(ServiceFault, match="Cannot update in-progress endpoint"):
        cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="one")
    seen = set()
    while cloud("DescribeEndpoint", EndpointName="endpoint")["EndpointStatus"] == "Updating":
        seen.add(ask(cloud)["batch"])
    assert seen <= {"old", "new"}
    assert "old" in seen
    endpoint = cloud.settled()
    assert endpoint["EndpointConfigName"] == "two"
    assert ask(cloud)["batch"] == "new"
    cloud.until(lambda: len(cloud.service.processes()) == 1)
    assert cloud.service.processes()[0]["pid"] != before["pid"]


def test_a_failed_update_leaves_the_old_fleet_in_service_with_the_reason(cloud: Any) -> None:
    cloud.model("old", Environment={"SAGEMAKER_BATCH": "old"})
    cloud.model("new", Environment={"CRASH": "1"})
    cloud.config("one", "old")
    cloud.config("two", "new")
    cloud.endpoint(config="one")
    cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="two")
    endpoint = cloud.settled()
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == "one"
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert ask(cloud)["batch"] == "old"
    assert len(cloud.service.processes()) == 1


def test_a_dead_program_fails_invocations_and_is_replaced(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "REPLACEMENT_SECONDS", 0.4)
    cloud.model()
    cloud.config()
    cloud.endpoint()
    [process] = cloud.service.processes()
    os.kill(process["pid"], signal.SIGKILL)
    cloud.until(lambda: not cloud.service.processes())
    with pytest.raises(ModelFault, match="Received server error \\(500\\) from primary") as failure:
        ask(cloud)
    assert failure.value.fields["OriginalStatusCode"] == 500
    endpoint = cloud("DescribeEndpoint", EndpointName="endpoint")
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    cloud.until(cloud.service.processes)

    def answers() -> bool:
        try:
            return bool(ask(cloud)["bytes"] == 5)
        except ModelFault:
            return False

    cloud.until(answers)


@pytest.mark.parametrize(("body", "status", "side"), [(b"bad", 400, "client"), (b"broken", 500, "server")])
def test_the_containers_errors_are_model_errors(cloud: Any, body: bytes, status: int, side: str) -> None:
    cloud.model()
    cloud.config()
    cloud.endpoint()
    with pytest.raises(ModelFault, match=f"Received {side} error \\({status}\\) from primary") as failure:
        ask(cloud, body)
    assert (failure.value.code, failure.value.status) == ("ModelError", 424)
    assert failure.value.fields["OriginalStatusCode"] == status
    assert failure.value.fields["OriginalMessage"] in ("unable to evaluate payload provided", "worker died")


def test_a_body_above_six_mebibytes_is_refused(cloud: Any) -> None:
    cloud.model()
    cloud.config()
    cloud.endpoint()
    assert ask(cloud, b"x" * (6 << 20))["bytes"] == 6 << 20
    with pytest.raises(ServiceFault, match="exceeded 6291456 bytes") as refusal:
        ask(cloud, b"x" * ((6 << 20) + 1))
    assert refusal.value.status == 413


def test_endpoints_serve_again_after_a_restart_without_s3(make_cloud: Any) -> None:
    first = make_cloud()
    first.model()
    first.config()
    first.endpoint()
    first.service.close()
    assert first.service.processes() == []
    (first.bucket / "models/for-model/output/model.tar.gz").unlink()
    second = make_cloud()
    assert second.settled()["EndpointStatus"] == "InService"
    assert ask(second)["bytes"] == 5


def test_deleting_config_and_model_does_not_touch_the_endpoint(cloud: Any) -> None:
    cloud.model()
    cloud.config()
    cloud.endpoint()
    cloud("DeleteEndpointConfig", EndpointConfigName="config")
    cloud("DeleteModel", ModelName="model")
    assert ask(cloud)["bytes"] == 5
    assert cloud("ListModels")["Models"] == []


def test_a_serverless_endpoint_reports_its_configuration(cloud: Any) -> None:
    cloud.model()
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    cloud.config(ServerlessConfig=serverless)
    [variant] = cloud.endpoint()["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == serverless
    assert "CurrentInstanceCount" not in variant
    assert ask(cloud)["bytes"] == 5


def test_an_instance_endpoint_cannot_become_serverless(cloud: Any) -> None:
    cloud.model()
    cloud.config("one")
    cloud.config("two", ServerlessConfig={"MemorySizeInMB": 2048, "MaxConcurrency": 5})
    cloud.endpoint(config="one")
    with pytest.raises(ServiceFault, match="can't be made serverless"):
        cloud("UpdateEndpoint", EndpointName="endpoint", EndpointConfigName="two")


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"InstanceType": "ml.t3.medium"}, "enum value set"),
        (
            {"ServerlessConfig": {"MemorySizeInMB": 1500, "MaxConcurrency": 1}},
            "MemorySizeInMB must be one of",
        ),
    ],
)
def test_configurations_that_aws_refuses_are_refused(cloud: Any, variant: dict[str, Any], words: str) -> None:
    cloud.model()
    with pytest.raises(ServiceFault, match=words):
        cloud.config(**variant)


def test_existing_names_are_refused(cloud: Any) -> None:
    cloud.model()
    cloud.config()
    cloud.endpoint()
    with pytest.raises(ServiceFault, match="Cannot create already existing model"):
        cloud.model(artifact="s3://bucket/x.tar.gz")
    with pytest.raises(ServiceFault, match="Cannot create already existing endpoint configuration"):
        cloud.config()
    with pytest.raises(ServiceFault, match="Cannot create already existing endpoint "):
        cloud.endpoint()


def test_a_new_resource_has_none_of_the_tags_of_a_deleted_one(cloud: Any) -> None:
    cloud.model()
    arn = cloud("DescribeModel", ModelName="model")["ModelArn"]
    cloud("AddTags", ResourceArn=arn, Tags=[{"Key": "run", "Value": "1"}])
    cloud("DeleteModel", ModelName="model")
    cloud.model(artifact="s3://bucket/x.tar.gz")
    assert cloud("ListTags", ResourceArn=arn)["Tags"] == []
