"""One trial of hyperparameters: trained on an instance candidate of its own, exported, and evaluated.

It is an iteration of a Map, which reads the machine's variables and sets only its own, named ``trial_…``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmrec.artifacts import layout
from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow.candidates import NO_CAPACITY, QUOTA_REFUSED, Candidates
from stacks.workflow.state_builders import (
    LAMBDA_ERRORS,
    SAGEMAKER_ERRORS,
    State,
    States,
    decide,
    failure,
    jsonata,
    merge,
    remember,
    resource,
    retry,
)
from stacks.workflow.training import LEAST_SECONDS, channel, job_timeout, training_job

TAKE = "Load the instance candidates for a trial"
NEXT = "Is an instance candidate left for this trial?"
TRAIN = "Train a trial"
CAPACITY = "Was capacity unavailable for this trial?"
EXPORT = "Export the embeddings of a trial"
EVALUATE = "Evaluate the ranking of a trial"
NO_INSTANCE = "Go on without this trial"
BROKEN = "Record the failure of this trial"

CAUSE_CHARACTERS = 500
"""Of each failed trial's cause, for the report."""


def one_trial(candidates: Candidates, settings: Settings, policy: Policy) -> States:
    """All states of an iteration."""
    return merge(_train(candidates, settings, policy), _judge(), _without_a_model(candidates))


def _train(trials: Candidates, settings: Settings, policy: Policy) -> States:
    """Candidates that the trial's share of the dollars pays for, until a job has trained it."""
    name = jsonata("$job_prefix & '-trial-' & $string($trial.number) & '-' & $string($trial_attempt)")
    seconds = (
        "$min([$trial_limits.seconds_per_job, "
        "$floor($trial_limits.usd_per_job / $trial_candidate.usd_per_hour * 3600)])"
    )
    job = training_job(
        name,
        settings,
        policy,
        image="${FactorizationMachinesImage}",
        hyperparameters=jsonata(
            "$merge([$hyperparameters, $trial.hyperparameters, {'feature_dim': $string($sizes.feature_dim)}])"
        ),
        input_mode=policy.input_mode,
        channels=[
            channel("train", f"$encoded_uri & '{layout.TUNING}{layout.TRAIN}'", policy.data_distribution)
        ],
        candidate="$trial_candidate",
        seconds=jsonata(seconds),
    )
    broken = {"trial_failure": failure(TRAIN, "training", name)}
    return merge(
        remember(
            TAKE,
            {
                "trial": jsonata("$states.input"),
                "trial_candidates": jsonata(
                    "[$priced[$type(usd_per_hour) = 'number' ? $trial_limits.usd_per_job / usd_per_hour * 3600 >= "
                    f"{LEAST_SECONDS} : false]]"
                ),
                "trial_candidate_index": 0,
                "trial_refused": [],
                "trial_job": {},
            },
            next_state=NEXT,
        ),
        trials.next_of("trial", "$trial.number", state=NEXT, attempt=TRAIN, otherwise=NO_INSTANCE),
        {
            TRAIN: {
                "Type": "Task",
                "Resource": resource("RunTrainingJob"),
                "Arguments": job,
                "Assign": {
                    "trial_model_uri": jsonata("$states.result.ModelArtifacts.S3ModelArtifacts"),
                    "trial_job": jsonata(
                        "( $paid := $states.result.BillableTimeInSeconds; "
                        "{ 'job': { 'name': $states.result.TrainingJobName, "
                        "'seconds': $states.result.TrainingTimeInSeconds, 'billable_seconds': $paid }, "
                        "'usd': $round($paid / 3600 * $trial_candidate.usd_per_hour, 6) } )"
                    ),
                },
                "TimeoutSeconds": job_timeout(settings),
                "Retry": [retry(*SAGEMAKER_ERRORS)],
                "Catch": [
                    {
                        "ErrorEquals": [QUOTA_REFUSED],
                        "Assign": _refused(trials, "$states.errorOutput"),
                        "Next": NEXT,
                    },
                    {"ErrorEquals": ["States.TaskFailed"], "Assign": broken, "Next": CAPACITY},
                    {"ErrorEquals": ["States.ALL"], "Assign": broken, "Next": BROKEN},
                ],
                "Next": EXPORT,
            }
        },
    )


def _judge() -> States:
    """The functions that judge the model itself, on a trial and the validation rows."""
    folder = f"'{layout.TRIALS}' & $string($trial.number)"
    manifest = jsonata(f"$encoded_uri & '{layout.TUNING}{layout.MANIFEST}'")
    evaluated = _function(
        EVALUATE,
        "${EvaluateRanking}",
        {
            "manifest_uri": manifest,
            "embeddings_uri": jsonata("$trial_embeddings"),
            "champion_uri": None,
            "output_uri": jsonata(
                f"$replace($evaluation_uri, /[^\\/]+$/, '') & {folder} & '/{layout.RANKING}'"
            ),
        },
    )
    evaluated |= {
        "Output": {
            "trial": jsonata(
                "$merge([$trial, $trial_job, {'ndcg': $lookup($states.result.Payload.model.metrics, "
                "$tuning.objective.MetricName), 'instance_type': $trial_candidate.instance_type, "
                "'instance_count': $trial_candidate.instance_count}])"
            ),
            "refused": jsonata("$trial_refused"),
        },
        "End": True,
    }
    return {
        EXPORT: {
            **_function(
                EXPORT,
                "${ExportEmbeddings}",
                {
                    "model_uris": [jsonata("$trial_model_uri")],
                    "manifest_uri": manifest,
                    "output_uri": jsonata(f"$embeddings_uri & {folder} & '/'"),
                    "co_occurrence": jsonata("$serving.co_occurrence"),
                    "folding_in": False,
                },
            ),
            "Assign": {"trial_embeddings": jsonata("$states.result.Payload.uri")},
            "Next": EVALUATE,
        },
        EVALUATE: evaluated,
    }


def _function(state: str, function: str, payload: Mapping[str, Any]) -> State:
    """A call of a function in the Map, without what follows."""
    return {
        "Type": "Task",
        "Resource": resource("InvokeFunction"),
        "Arguments": {"FunctionName": function, "Payload": dict(payload)},
        "TimeoutSeconds": 900,
        "Retry": [retry(*LAMBDA_ERRORS)],
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": {"trial_failure": failure(state, "function", function)},
                "Next": BROKEN,
            }
        ],
    }


def _without_a_model(trials: Candidates) -> States:
    """What an iteration without a judged model ends with."""
    missing = f"$contains($trial_failure.error.Cause & '', {NO_CAPACITY})"
    why = "'why': $trial_failure.error.Error & ': ' & $substring($trial_failure.error.Cause, 0, {})"
    ends: dict[str, tuple[str, dict[str, Any]]] = {
        NO_INSTANCE: ("'why': 'no instance was left for it', 'usd': 0", {}),
        BROKEN: (why.format(CAUSE_CHARACTERS), {"failure": jsonata("$trial_failure")}),
    }
    return merge(
        decide(CAPACITY, (missing, NEXT, _refused(trials, "$trial_failure.error")), otherwise=BROKEN),
        {
            name: {
                "Type": "Pass",
                "Output": {
                    "trial": jsonata(f"$merge([$trial, $trial_job, {{{reason}}}])"),
                    "refused": jsonata("$trial_refused"),
                    **more,
                },
                "End": True,
            }
            for name, (reason, more) in ends.items()
        },
    )


def _refused(trials: Candidates, error: str) -> State:
    return trials.note_refusal("trial", "$trial.number", error)
