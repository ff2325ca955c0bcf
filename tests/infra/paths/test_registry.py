"""The workflow's ways to and from SageMaker Model Registry: registering, promoting, rolling back."""

from typing import Any

import pytest

ARN = "arn:aws:sagemaker:eu-west-1:000000000000:model-package/fmrec-recommend/3"
TRAINING = {
    "Encode the interactions",
    "Compare the data with the champion's",
    "Train the factorization machine",
    "Export the embeddings",
    "Evaluate the ranking",
    "Check the quality",
    "Register the model",
}
RATINGS = {"dataset": {"label": {"mode": "binary", "threshold": 4}}, "task": "predict-rating"}


def calls(started: Any, state: str) -> list[Any]:
    return [arguments for name, arguments in started.calls if name == state]


def promotion(kind: str, previous: str | None) -> Any:
    """What *Check the input* answers for a promotion, as `fmrec.registry.promotion` resolves it."""
    folder = "s3://fmrecstorage-data/embeddings/monday/"

    def answer(arguments: Any) -> Any:
        return {
            "Payload": {
                "run": arguments["Payload"]["run"],
                "task": "recommend",
                "thresholds": {},
                "tuning": None,
                "ensemble": 1,
                "drift_limits": {},
                "replace_catalogue": True,
                "dataset": None,
                "dataset_name": "default",
                "encoded": "sunday",
                "hyperparameters": {"num_factors": "64", "predictor_type": "binary_classifier"},
                "serving": {
                    "recommendations_per_user": 10,
                    "neighbours": 40,
                    "exclude_seen": True,
                    "filters": {},
                    "segments": None,
                    "endpoint": True,
                },
                "promotion": {
                    "kind": kind,
                    "run": "monday",
                    "model_version": "fmrec-monday-fm-1",
                    "model_uri": "s3://fmrecstorage-data/models/fmrec-monday-fm-1/output/model.tar.gz",
                    "model_package": {"group": "fmrec-recommend", "version": 3, "arn": ARN},
                    "embeddings_uri": folder,
                    "embeddings": {
                        "uri": f"{folder}embeddings.json",
                        "dim": 65,
                        "users": 943,
                        "items": 1682,
                        "query_parts": 1,
                    },
                    "metrics": {"ndcg_at_10": 0.3},
                    "verdict": {"passed": True, "sentence": "Promoted by hand."},
                    "approval": "Promoted by hand, by the execution run-1.",
                    "previous": previous,
                    "replaces": None if previous is None else "arn:the-champion",
                },
            }
        }

    return answer


@pytest.mark.parametrize(("passed", "status"), [(True, "SUCCEEDED"), (False, "FAILED")])
def test_every_judged_model_is_registered_before_the_verdict_has_its_way(
    run: Any, passed: bool, status: str
) -> None:
    verdict = {"passed": passed, "sentence": "Said the gate.", "metrics": {"ndcg_at_10": 0.3}, "checks": []}
    started, outcome = run(Check_the_quality=lambda a: {"Payload": verdict})

    assert outcome[0] == status
    ((payload),) = (arguments["Payload"] for arguments in calls(started, "Register the model"))
    assert payload["verdict"] == verdict
    assert payload["group"] == "fmrec-recommend"
    assert payload["image"].endswith("/factorization-machines:1")
    assert payload["record_uri"] == "s3://fmrecstorage-data/evaluations/run-1/model.json"
    assert payload["evaluation_uri"] == "s3://fmrecstorage-data/evaluations/run-1/ranking.json"
    model = payload["model"]
    assert model["embeddings_uri"] == "s3://fmrecstorage-data/embeddings/run-1/embeddings.json"
    assert (model["run"], model["task"], model["model_version"]) == ("run-1", "recommend", "fmrec-run-1-fm-1")
    assert model["serving"]["neighbours"] == 10
    assert started.visited.index("Register the model") < started.visited.index("Is the model good enough?")
    assert "Approve the promoted model" not in started.visited


def test_a_model_of_ratings_goes_to_the_group_of_its_task_without_embeddings(run: Any) -> None:
    started, _ = run(RATINGS)

    ((payload),) = (arguments["Payload"] for arguments in calls(started, "Register the model"))
    assert payload["group"] == "fmrec-predict-rating"
    assert payload["model"]["embeddings_uri"] is None
    assert payload["evaluation_uri"] is None


@pytest.mark.parametrize(
    ("kind", "previous"),
    [("promote", None), ("rollback", "s3://fmrecstorage-data/champion/history/a.json"), ("rollback", "")],
)
def test_a_promotion_trains_nothing_and_serves_that_runs_embeddings(
    run: Any, kind: str, previous: str | None
) -> None:
    started, (status, output) = run(
        {"promote": "monday"}, status="InService", Check_the_input=promotion(kind, previous)
    )

    assert status == "SUCCEEDED"
    assert not TRAINING & set(started.visited)
    (plan,) = calls(started, "Choose instances")
    assert plan["Payload"]["manifest_uri"] == "s3://fmrecstorage-data/encoded/sunday/manifest.json"
    (index,) = calls(started, "Build the k-NN index")
    assert index["TrainingJobName"] == "fmrec-run-1-knn-1"
    items = index["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert items == "s3://fmrecstorage-data/embeddings/monday/items/"
    (transform,) = calls(started, "Generate recommendations for all users")
    queries = transform["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    assert queries == "s3://fmrecstorage-data/embeddings/monday/queries/"
    assert transform["TransformOutput"]["S3OutputPath"] == "s3://fmrecstorage-data/neighbours/run-1/"
    (published,) = calls(started, "Publish a batch of users")
    assert published["Payload"]["model_version"] == "fmrec-monday-fm-1"
    assert published["Payload"]["manifest_uri"] == "s3://fmrecstorage-data/encoded/sunday/manifest.json"
    assert output["model_version"] == "fmrec-monday-fm-1"
    assert output["endpoint"]["status"] == "InService"


@pytest.mark.parametrize("previous", [None, "", "s3://fmrecstorage-data/champion/history/a.json"])
def test_the_promoted_model_is_approved_and_the_champion_under_its_own_run(
    run: Any, previous: str | None
) -> None:
    started, _ = run({"promote": "monday"}, Check_the_input=promotion("promote", previous))

    (approved,) = calls(started, "Approve the promoted model")
    assert approved == {
        "ModelPackageArn": ARN,
        "ModelApprovalStatus": "Approved",
        "ApprovalDescription": "Promoted by hand, by the execution run-1.",
    }
    (report,) = (arguments["Payload"] for arguments in calls(started, "Write the run report"))
    assert report["champion"] == {
        "run": "monday",
        "task": "recommend",
        "model_version": "fmrec-monday-fm-1",
        "model_uri": "s3://fmrecstorage-data/models/fmrec-monday-fm-1/output/model.tar.gz",
        "manifest_uri": "s3://fmrecstorage-data/encoded/sunday/manifest.json",
        "embeddings_uri": "s3://fmrecstorage-data/embeddings/monday/embeddings.json",
        "execution_arn": "arn:aws:states:eu-west-1:000000000000:execution:machine:run-1",
        "model_package_arn": ARN,
        "previous": previous,
    }
    assert report["report_uri"] == "s3://fmrecstorage-data/runs/run-1/report.json"
    assert report["report"]["run"] == "run-1"
    assert report["report"]["promotion"]["run"] == "monday"
    assert report["report"]["metrics"] == {"ndcg_at_10": 0.3}


@pytest.mark.parametrize("broken", ["Generate recommendations for all users", "Smoke-test the endpoint"])
def test_a_promotion_that_fails_changes_nothing_in_the_registry(
    run: Any, task_error: Any, broken: str
) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("States.Timeout", "")

    started, (status, _) = run(
        {"promote": "monday"},
        **{"Check_the_input": promotion("promote", None), broken.replace(" ", "_"): fail},
    )

    assert status == "FAILED"
    assert "Approve the promoted model" not in started.visited
    assert "Write the run report" not in started.visited


def test_a_registry_that_refuses_fails_the_run_where_it_happened(run: Any, task_error: Any) -> None:
    def fail(arguments: Any) -> None:
        raise task_error("SageMaker.SageMakerException", "not today")

    started, (status, output) = run(
        {"promote": "monday"},
        Check_the_input=promotion("promote", None),
        Approve_the_promoted_model=fail,
    )

    assert status == "FAILED"
    assert '"state": "Approve the promoted model"' in output["Cause"]
    assert "Write the run report" not in started.visited
