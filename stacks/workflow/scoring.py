"""From a model of ratings to decisions: held-out pairs scored, and where a score means yes."""

from __future__ import annotations

from fmrec.artifacts import layout
from stacks.settings import Settings
from stacks.workflow.candidates import Candidates
from stacks.workflow.names import of_dataset
from stacks.workflow.serving import endpoint_of
from stacks.workflow.state_builders import (
    SAGEMAKER_ERRORS,
    States,
    decide,
    invoke,
    jsonata,
    merge,
    retry,
    task,
)
from stacks.workflow.training import tags
from stacks.workflow.transforming import transform

MODEL = "Create the scoring model"
HELD_OUT = "Were pairs held out?"
SCORE = "Score the held-out pairs"
CHOOSE_THRESHOLD = "Choose the decision threshold"

ACCEPT = "application/jsonlines"
NOTHING_HELD_OUT = (
    "No pairs were held out, so none were scored in batch and no threshold was chosen: let the data set's "
    "split hold some out."
)

SCORING = Candidates("fm_transform", "scoring")


def score(settings: Settings, *, next_state: str) -> States:
    """All states between a model that is good enough and the endpoint."""
    return merge(
        task(
            MODEL,
            "CreateModel",
            {
                "ModelName": jsonata("$job_prefix & '-fm'"),
                "ExecutionRoleArn": "${SageMakerRole}",
                "PrimaryContainer": {
                    "Image": "${FactorizationMachinesImage}",
                    "ModelDataUrl": jsonata("$model_uri"),
                },
                "Tags": tags(),
            },
            retries=[retry(*SAGEMAKER_ERRORS)],
            timeout_seconds=300,
            assign={
                "model_name": jsonata("$job_prefix & '-fm'"),
                **endpoint_of(
                    of_dataset(f"{settings.prefix}-", "'fm'"),
                    "fm_endpoint",
                ),
            },
            next_state=HELD_OUT,
        ),
        decide(
            HELD_OUT,
            ("$sizes.test_rows > 0", SCORING.take),
            otherwise=next_state,
            assign={"decision": {"sentence": NOTHING_HELD_OUT}, "scores_uri": None},
        ),
        transform(
            SCORING,
            SCORE,
            settings,
            job="scores",
            input_uri=f"$encoded_uri & '{layout.TEST}'",
            output_uri="$scores_uri",
            accept=ACCEPT,
            next_state=CHOOSE_THRESHOLD,
        ),
        invoke(
            CHOOSE_THRESHOLD,
            "${ChooseThreshold}",
            {
                "manifest_uri": jsonata("$manifest_uri"),
                "scores_uri": jsonata("$scores_uri"),
                "output_uri": jsonata("$predictions_uri"),
                "model_version": jsonata("$model_version"),
            },
            assign={"decision": jsonata("$states.result.Payload")},
            next_state=next_state,
        ),
    )
