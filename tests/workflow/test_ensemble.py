"""An ensemble through the deployed workflow: one index of three models, one of them refused an instance."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fmrec import recordio
from fmrec.execution.step_functions import Execution
from fmrec.model.factorization_machine import FactorizationMachine
from stacks.workflow.ensemble import TRAIN_ALL
from tests.workflow.conftest import entered, wait_for_event

FACTORS, MODELS = 4, 3
QUOTA = "ml.m5.large for training job usage"


class Ended:
    """What a run of an ensemble has left in the bucket."""

    def __init__(self, pipeline: Any, execution: Execution) -> None:
        self._s3, self._bucket = pipeline.cloud.client("s3"), pipeline.outputs["DataBucket"]
        self.execution = execution
        self.report: dict[str, Any] = json.loads(self.read(f"runs/{execution.name}/report.json"))

    def read(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def machines(self) -> list[FactorizationMachine]:
        keys = [uri.split("/", 3)[3] for uri in self.report["model_uris"]]
        return [FactorizationMachine.load(io.BytesIO(self.read(key))) for key in keys]


@pytest.fixture(scope="module")
def small_source() -> dict[str, Any]:
    return {
        "interactions": {"path": "small/", "format": "csv", "header": True},
        "label": {"mode": "implicit", "threshold": 4, "negatives_per_positive": 4, "copies": 2},
        "split": {"method": "leave-first-n", "n": 4},
    }


def wait_for_trainings(pipeline: Any, run: str) -> None:
    """Block until no training job of a run is left that counts against the quota."""
    sagemaker, goes_on = pipeline.cloud.client("sagemaker"), {"InProgress", "Stopping"}
    while goes_on & {
        job["TrainingJobStatus"]
        for job in sagemaker.list_training_jobs(NameContains=run)["TrainingJobSummaries"]
    }:
        time.sleep(0.1)


@pytest.fixture(scope="module")
def ended(pipeline: Any, small_source: dict[str, Any]) -> Iterator[Ended]:
    """Three models where the first choice has room for two: the quota shrank after it was read."""
    quotas = pipeline.control("quotas")
    s3, champion = (
        pipeline.cloud.client("s3"),
        {"Bucket": pipeline.outputs["DataBucket"], "Key": "champion/model.json"},
    )
    try:
        before = s3.get_object(**champion)["Body"].read()
    except s3.exceptions.NoSuchKey:
        before = b""
    given = {
        "dataset": small_source,
        "ensemble": MODELS,
        "hyperparameters": {"num_factors": FACTORS, "epochs": 30, "mini_batch_size": 100, "factors_lr": 0.05},
        "serving": {"recommendations_per_user": 5, "endpoint": False},
    }
    try:
        # What the account had is kept for a quarter of an hour, as by this run, which ends once it encoded.
        arn = pipeline.start(given)
        wait_for_event(pipeline, arn, entered(TRAIN_ALL))
        pipeline.cloud.client("stepfunctions").stop_execution(executionArn=arn)
        encoded = pipeline.wait(arn)
        assert encoded.status == "ABORTED", encoded.cause
        wait_for_trainings(pipeline, encoded.name)
        pipeline.control("quotas", quotas | {QUOTA: 2})
        del given["dataset"]
        execution = pipeline.run(given | {"encoded": encoded.name})
        assert execution.status == "SUCCEEDED", execution.cause
        yield Ended(pipeline, execution)
    finally:
        pipeline.control("quotas", quotas)
        # Single models of other tests need not beat an ensemble.
        if before:
            s3.put_object(**champion, Body=before)
        else:
            s3.delete_object(**champion)


def test_a_refused_job_goes_on_with_its_next_candidate_while_the_others_train(ended: Ended) -> None:
    report = ended.report
    chosen = [report["chosen"][f"fm_training{n}"]["instance_type"] for n in ("", "_2", "_3")]
    (refusal,) = report["refusals"]
    assert sorted(chosen) == ["ml.m5.large", "ml.m5.large", "ml.m5.xlarge"]
    assert chosen[refusal["model"] - 1] == "ml.m5.xlarge"
    assert (refusal["step"], refusal["instance_type"]) == ("fm_training", "ml.m5.large")
    # Each job has a cost of its own, at the price of its own instance.
    steps = report["spent"]["steps"]
    assert {f"fm_training{n}" for n in ("", "_2", "_3")} <= set(steps)
    assert sorted(step["usd_per_hour"] for name, step in steps.items() if name.startswith("fm_")) == [
        pytest.approx(0.115),
        pytest.approx(0.115),
        pytest.approx(0.23),
    ]


def test_each_model_learns_from_rows_of_its_own(ended: Ended) -> None:
    prefix = ended.report["encoded_uri"].split("/", 3)[3]
    manifest = json.loads(ended.read(f"{prefix}manifest.json"))
    parts = [ended.read(f"{prefix}train/part-0{model}00000.pbr") for model in (1, 2, 3)]
    rows = [recordio.read_matrix(io.BytesIO(part))[0].toarray() for part in parts]
    labels = [recordio.read_matrix(io.BytesIO(part))[1] for part in parts]
    assert sum(len(each) for each in rows) == manifest["train"]["rows"]
    assert manifest["rows"]["train"] < len(rows[0]) == len(rows[1]) == len(rows[2])
    assert ended.report["sizes"]["rows"] == len(rows[0])
    # The same picks, against other negatives.
    pairs = [sorted(map(bytes, each[label == 1])) for each, label in zip(rows, labels, strict=True)]
    negatives = [sorted(map(bytes, each[label == 0])) for each, label in zip(rows, labels, strict=True)]
    assert pairs[0] == pairs[1] == pairs[2]
    assert negatives[0] != negatives[1] != negatives[2] != negatives[0]


def test_no_model_is_like_another_though_the_container_has_one_seed(ended: Ended) -> None:
    first, second, third = ended.machines()
    for one, other in ((first, second), (first, third), (second, third)):
        assert not np.allclose(one.factors, other.factors, atol=1e-3)


def test_the_index_ranks_by_the_average_of_the_models_scores(ended: Ended, pipeline: Any) -> None:
    machines = ended.machines()
    document = json.loads(ended.read(f"embeddings/{ended.execution.name}/embeddings.json"))
    assert document["dim"] == MODELS * FACTORS + 1
    prefix = f"embeddings/{ended.execution.name}/"
    items, labels = recordio.read_matrix(io.BytesIO(ended.read(prefix + document["item_parts"][0]["key"])))
    queries, _ = recordio.read_matrix(io.BytesIO(ended.read(prefix + document["query_parts"][0]["key"])))
    assert labels is not None
    users = len(queries)
    expected = np.mean(
        [
            machine.factors[:users] @ machine.factors[users:].T + machine.linear[users:]
            for machine in machines
        ],
        axis=0,
    )
    np.testing.assert_allclose(queries @ items.T, expected[:, labels.astype(int)], rtol=1e-4, atol=1e-4)


def test_everything_after_the_training_works_as_with_one_model(ended: Ended, pipeline: Any) -> None:
    report = ended.report
    assert report["published"]["users"] == report["sizes"]["users"] == 60
    assert report["evaluation"]["model"]["metrics"]["ndcg_at_10"] > 0.5
    package = pipeline.cloud.client("sagemaker").describe_model_package(
        ModelPackageName=report["model_package"]["arn"]
    )
    containers = package["InferenceSpecification"]["Containers"]
    assert [container["ModelDataUrl"] for container in containers] == report["model_uris"]


def test_a_promoted_ensemble_serves_its_index_again(ended: Ended, pipeline: Any) -> None:
    promoted = pipeline.run({"promote": ended.execution.name, "serving": {"endpoint": False}})
    assert promoted.status == "SUCCEEDED", promoted.cause

    report = Ended(pipeline, promoted).report
    assert report["plan"]["steps"]["knn_training"]["needs"]["inputs"]["dimension"] == MODELS * FACTORS + 1
    assert report["published"]["users"] == 60
