"""Registering, rolling back and promoting models through the deployed workflow and the command line."""

from __future__ import annotations

import io
import json
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from fmrec.cli import main
from fmrec.execution.step_functions import Execution
from fmrec.storage import s3_client
from tests.workflow.conftest import SMALL_INPUT, SMALL_USERS


def read(pipeline: Any, key: str) -> Any:
    body = pipeline.cloud.client("s3").get_object(Bucket=pipeline.outputs["DataBucket"], Key=key)["Body"]
    return json.loads(body.read())


def lists(pipeline: Any) -> dict[str, Any]:
    """What the table serves to this test's users: model version and items in their order."""
    table, client = pipeline.outputs["RecommendationsTable"], pipeline.cloud.client("dynamodb")
    wanted = [{"user_id": {"S": str(user)}} for user in range(1, SMALL_USERS + 1)]
    answered = client.batch_get_item(RequestItems={table: {"Keys": wanted}})["Responses"][table]
    assert len(answered) == SMALL_USERS
    return {
        item["user_id"]["S"]: (
            item["model_version"]["S"],
            [entry["M"]["item_id"]["S"] for entry in item["recommendations"]["L"]],
        )
        for item in answered
    }


def package(pipeline: Any, arn: str) -> Any:
    return pipeline.cloud.client("sagemaker").describe_model_package(ModelPackageName=arn)


def fmrec(pipeline: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, which finds the local cloud in its environment."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        for name, value in pipeline.cloud.environment.items():
            patch.setenv(name, value)
        s3_client.forget_client()
        code = main(arguments)
    s3_client.forget_client()
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


@pytest.fixture(scope="module")
def runs(pipeline: Any, encoded_run: str) -> dict[str, Any]:
    """Two runs that were good enough, then one that wasn't, with the lists that each left."""
    given = {
        "task": "recommend",
        "encoded": encoded_run,
        "serving": {"recommendations_per_user": 5, "endpoint": False},
    }
    usual = SMALL_INPUT["hyperparameters"]
    first: Execution = pipeline.run(given | {"hyperparameters": usual})
    assert first.status == "SUCCEEDED", first.cause
    found: dict[str, Any] = {"first": first, "lists of first": lists(pipeline)}
    found["second"] = pipeline.run(given | {"hyperparameters": usual | {"num_factors": 6}})
    assert found["second"].status == "SUCCEEDED", found["second"].cause
    found["lists of second"] = lists(pipeline)
    found["bad"] = pipeline.run(given | {"hyperparameters": usual | {"epochs": 1, "factors_lr": 1e-6}})
    return found


@pytest.fixture(scope="module")
def arns(pipeline: Any, runs: dict[str, Any]) -> dict[str, str]:
    """Each run's model package."""
    return {
        which: read(pipeline, f"evaluations/{runs[which].name}/model.json")["model_package_arn"]
        for which in ("first", "second", "bad")
    }


def test_judged_models_are_versions_with_their_metrics_whether_they_passed_or_not(
    pipeline: Any, runs: Any, arns: Any
) -> None:
    assert (runs["bad"].status, runs["bad"].error) == ("FAILED", "QualityError")
    for which, status in (("first", "Approved"), ("second", "Approved"), ("bad", "Rejected")):
        version = package(pipeline, arns[which])
        ranking = read(pipeline, f"evaluations/{runs[which].name}/ranking.json")
        properties = version["CustomerMetadataProperties"]
        assert version["ModelApprovalStatus"] == status
        assert version["ModelPackageGroupName"] == "fmrec-recommend"
        assert properties["run"] == runs[which].name
        measured = ranking["model"]["metrics"]["ndcg_at_10"]
        assert float(properties["ndcg_at_10"]) == pytest.approx(measured, rel=1e-5)
        where = version["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
        assert where.endswith(f"/evaluations/{runs[which].name}/ranking.json")
        (container,) = version["InferenceSpecification"]["Containers"]
        assert f"fmrec-{runs[which].name}-fm-1/" in container["ModelDataUrl"]
    assert "popularity's NDCG@10" in package(pipeline, arns["bad"])["ApprovalDescription"]
    report = read(pipeline, f"runs/{runs['second'].name}/report.json")
    assert report["model_package"]["arn"] == arns["second"]
    assert read(pipeline, "champion/model.json")["model_package_arn"] == arns["second"]


def test_rolling_back_serves_the_first_models_lists_and_endpoint_and_promoting_the_seconds(
    pipeline: Any, runs: Any, arns: Any
) -> None:
    first, second = runs["lists of first"], runs["lists of second"]
    assert lists(pipeline) == second != first

    rolled_back = fmrec(pipeline, "rollback", "--json", "--name", "back-to-the-first")
    assert rolled_back.returncode == 0, rolled_back.stderr
    output = json.loads(rolled_back.stdout)
    assert output["model_version"] == f"fmrec-{runs['first'].name}-fm-1"
    assert output["endpoint"]["status"] == "InService"
    assert output["endpoint"]["answer"]["passed"]
    assert output["endpoint"]["model"] == "fmrec-back-to-the-first-knn"
    assert lists(pipeline) == first
    champion = read(pipeline, "champion/model.json")
    assert (champion["run"], champion["model_package_arn"]) == (runs["first"].name, arns["first"])
    assert "back-to-the-first" in package(pipeline, arns["first"])["ApprovalDescription"]

    version = arns["second"].rpartition("/")[2]
    promoted = fmrec(pipeline, "promote", version, "--json")
    assert promoted.returncode == 0, promoted.stderr
    assert lists(pipeline) == second
    assert json.loads(promoted.stdout)["endpoint"]["answer"]["passed"]
    assert read(pipeline, "champion/model.json")["run"] == runs["second"].name

    listed = json.loads(fmrec(pipeline, "models", "--json").stdout)
    mine = {each["run"]: each for each in listed if each["arn"] in arns.values()}
    assert [run for run, each in mine.items() if each["serves"]] == [runs["second"].name]
    assert mine[runs["bad"].name]["status"] == "Rejected"
    table = fmrec(pipeline, "models", "--limit", "3").stdout.splitlines()
    assert len(table) == 4
    assert [line.split()[1] for line in table if line.endswith("serves")] == [runs["second"].name]


def test_a_model_that_the_gate_rejected_serves_when_a_person_says_so(
    pipeline: Any, runs: Any, arns: Any
) -> None:
    promoted = pipeline.run({"promote": runs["bad"].name, "serving": {"endpoint": False}})

    assert promoted.status == "SUCCEEDED", promoted.cause
    version = package(pipeline, arns["bad"])
    assert version["ModelApprovalStatus"] == "Approved"
    assert f"by the execution {promoted.name}" in version["ApprovalDescription"]
    assert "was rejected by the gate" in version["ApprovalDescription"]
    assert {model for model, _ in lists(pipeline).values()} == {f"fmrec-{runs['bad'].name}-fm-1"}


def test_what_is_not_there_any_more_is_refused_with_a_sentence(pipeline: Any, runs: Any) -> None:
    lost = f"embeddings/{runs['first'].name}/items/part-00000.pbr"
    pipeline.cloud.client("s3").delete_object(Bucket=pipeline.outputs["DataBucket"], Key=lost)
    gone = fmrec(pipeline, "promote", runs["first"].name)
    unknown = fmrec(pipeline, "promote", "nobody")

    assert gone.returncode == unknown.returncode == 1
    assert "InputError" in gone.stderr
    assert lost in gone.stderr
    assert "there is no model of run 'nobody'" in unknown.stderr
