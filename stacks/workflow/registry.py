"""SageMaker Model Registry in the workflow: every judged model is a version, and a version can be promoted.

A promotion (`fmrec.registry.promotion`, resolved by *Check the input*) has a model, its embeddings and a
verdict already, so it goes from the instances to the k-NN index at once and from there like any other run.
The version is approved when its lists and its endpoint are there, so a promotion that fails changes nothing
in the registry.
"""

from __future__ import annotations

from fmrec.artifacts import layout
from stacks.settings import Settings
from stacks.workflow.names import of_dataset
from stacks.workflow.state_builders import (
    SAGEMAKER_SDK_ERRORS,
    States,
    decide,
    invoke,
    jsonata,
    merge,
    retry,
    task,
)
from stacks.workflow.training import DATA

REGISTER = "Register the model"
TRAINED = "Is the model trained already?"
BY_HAND = "Was the model promoted by hand?"
APPROVE = "Approve the promoted model"

PROMOTED = "$type($promotion) = 'object'"


def register(settings: Settings, *, next_state: str) -> States:
    """Make a version of what has just been judged, approved or rejected."""
    return invoke(
        REGISTER,
        "${RegisterModel}",
        {
            "model": {
                **{
                    name: jsonata(f"${name}")
                    for name in (
                        *("run", "task", "model_version", "model_uri", "manifest_uri"),
                        *("hyperparameters", "serving", "execution_arn", "model_uris"),
                    )
                },
                "embeddings_uri": jsonata("$exists($embeddings.uri) ? $embeddings.uri : null"),
            },
            "verdict": jsonata("$verdict"),
            "group": jsonata(of_dataset(f"{settings.prefix}-", "$task")),
            "image": "${FactorizationMachinesImage}",
            "record_uri": jsonata(f"'{DATA}/{layout.EVALUATIONS}' & $run & '/{layout.MODEL_RECORD}'"),
            "evaluation_uri": jsonata("$type($evaluation) = 'object' ? $evaluation_uri : null"),
        },
        assign={"model_package": jsonata("$states.result.Payload")},
        timeout_seconds=120,
        next_state=next_state,
    )


def skip_training(*, trained: str, otherwise: str) -> States:
    """Go on with a promoted model where a run's own would be after its embeddings and its verdict."""
    return decide(
        TRAINED,
        (
            PROMOTED,
            trained,
            {
                name: jsonata(f"$promotion.{name}")
                for name in (
                    *("model_uri", "model_version", "embeddings_uri", "embeddings"),
                    *("metrics", "verdict", "model_package"),
                )
            },
        ),
        otherwise=otherwise,
    )


def approve(*, next_state: str) -> States:
    """Say in the registry that a person has made this model serve."""
    return merge(
        decide(BY_HAND, (PROMOTED, APPROVE), otherwise=next_state),
        task(
            APPROVE,
            "UpdateModelPackage",
            {
                "ModelPackageArn": jsonata("$model_package.arn"),
                "ModelApprovalStatus": "Approved",
                "ApprovalDescription": jsonata("$promotion.approval"),
            },
            retries=[retry(*SAGEMAKER_SDK_ERRORS)],
            timeout_seconds=120,
            next_state=next_state,
        ),
    )
