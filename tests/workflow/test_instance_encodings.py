"""Training on what an earlier run encoded, through the deployed workflow."""

from __future__ import annotations

import json
from typing import Any


def test_a_run_on_an_earlier_encoding_starts_no_glue_job_and_publishes_all_users(
    pipeline: Any, encoded_input: dict[str, Any], encoded_run: str
) -> None:
    encoded_input["hyperparameters"]["num_factors"] = 6
    execution = pipeline.run(encoded_input)

    assert execution.status == "SUCCEEDED", execution.cause
    assert "Encode the interactions" not in [state.name for state in execution.states]
    assert not [job for job in execution.jobs if job.kind == "glue"]
    bucket = pipeline.outputs["DataBucket"]
    stored = pipeline.cloud.client("s3").get_object(Bucket=bucket, Key=f"runs/{execution.name}/report.json")
    report = json.loads(stored["Body"].read())
    assert report["encoded_uri"] == f"s3://{bucket}/encoded/{encoded_run}/"
    assert report["dataset"] is None
    assert report["hyperparameters"]["num_factors"] == "6"
    assert report["embeddings"]["dim"] == 7
    assert report["published"]["users"] == 60


def test_an_encoding_that_is_not_there_ends_the_run_before_anything_is_paid_for(
    pipeline: Any, encoded_input: dict[str, Any]
) -> None:
    execution = pipeline.run(encoded_input | {"encoded": "of-nobody"})

    assert (execution.status, execution.error) == ("FAILED", "InputError")
    assert "there is no finished encoding at" in execution.cause
    assert "encoded/of-nobody/manifest.json" in execution.cause
    assert execution.jobs == []


def test_a_data_set_and_an_encoding_together_are_refused(
    pipeline: Any, encoded_input: dict[str, Any]
) -> None:
    execution = pipeline.run(encoded_input | {"dataset": f"s3://{pipeline.outputs['DataBucket']}/raw/d.json"})

    assert (execution.status, execution.error) == ("FAILED", "InputError")
    assert "has both 'dataset' and 'encoded'" in execution.cause
