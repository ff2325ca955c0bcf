"""Several models for one index: their training jobs at the same time, each with candidates of its own.

The models are trained with the same hyperparameters on the same picks, each against negatives of its own.

A model that a quota or missing capacity refuses goes on to its next candidate while the others train. When
all have ended, those without a model are tried again as the last resort says; what was trained is kept. The
results are in the order of the models' numbers, whichever ended first. Where the quotas have room for fewer
jobs than models, as many are started as there is room for, and the next ones when these have ended.

An iteration of a Map reads the machine's variables and sets only its own, which are named ``model_…`` here.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow.candidates import NO_CAPACITY, QUOTA_REFUSED, Candidates
from stacks.workflow.state_builders import (
    EXPLAIN,
    SAGEMAKER_ERRORS,
    State,
    States,
    catch_all,
    decide,
    failure,
    jsonata,
    merge,
    remember,
    retry,
    task,
)
from stacks.workflow.training import FM, fm_training_job, job_timeout

WANTED = "Is an ensemble requested?"
TRAIN_ALL = "Train the models of the ensemble"
ALL_TRAINED = "Are all models of the ensemble trained?"

TAKE = "Load the instance candidates for a model"
NEXT = "Is an instance candidate left for this model?"
TRAIN = "Train one model of the ensemble"
CAPACITY = "Was capacity unavailable for this model?"
NO_INSTANCE = "Go on without this model"
BROKEN = "Hand on the failure of this model"


@dataclass(frozen=True)
class _Ensemble(Candidates):
    """What surrounds the Map: the last resort when models are missing."""

    @property
    def next_candidate(self) -> str:
        return ALL_TRAINED


ENSEMBLE = _Ensemble("fm_training", "the ensemble")


def train(settings: Settings, policy: Policy, *, one: str, next_state: str) -> States:
    """Train all models, or go to `one` where only one is wanted."""
    resorts = settings.instances.last_resort
    missing = f"$contains($model_failure.error.Cause & '', {NO_CAPACITY})"
    return merge(
        decide(WANTED, ("$ensemble > 1", ENSEMBLE.take), otherwise=one),
        remember(ENSEMBLE.take, {"refused": []}, next_state=TRAIN_ALL),
        {
            TRAIN_ALL: {
                "Type": "Map",
                "Items": jsonata(
                    "$reduce([1..$ensemble], function($left, $model) {$model in [$models.number] or "
                    f"$count($left) >= {ENSEMBLE.planned}.needs.parallel_jobs "
                    "? $left : $append($left, [{'number': $model}])}, [])"
                ),
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": TAKE,
                    "States": merge(_one_model(settings, policy), _after_refusals(missing)),
                },
                "Assign": {
                    "models": jsonata("[$append($models, [$states.result[$exists(model_uri)]])^(number)]"),
                    "refused": jsonata("[$states.result.refused]"),
                    "refusals": jsonata("$append($refusals, [$states.result.refused])"),
                    "model_failures": jsonata("[$states.result.failure]"),
                    "models_refused": jsonata("$count($states.result[$not($exists(model_uri))])"),
                },
                "Catch": [catch_all(TRAIN_ALL, "training")],
                "Next": ALL_TRAINED,
            }
        },
        decide(
            ALL_TRAINED,
            ("$count($models) = $ensemble", next_state, _results()),
            (
                "$count($model_failures) > 0",
                EXPLAIN,
                {"failure": jsonata("$model_failures[0]")},
            ),
            ("$models_refused = 0", TRAIN_ALL),
            otherwise=ENSEMBLE.exhausted(resorts.training),
        ),
        ENSEMBLE.last_resort_states(resorts.training, resorts.wait_minutes),
    )


def _one_model(settings: Settings, policy: Policy) -> States:
    """An iteration: candidates one after the other, until a job has trained the model."""
    job_name = jsonata("$job_prefix & '-fm-' & $string($model_number) & '-' & $string($model_attempt)")
    quota: State = {
        "ErrorEquals": [QUOTA_REFUSED],
        "Assign": _refused("$states.errorOutput"),
        "Next": NEXT,
    }
    broken: State = {"Assign": {"model_failure": failure(TRAIN, "training", job_name)}}
    training = task(
        TRAIN,
        "RunTrainingJob",
        fm_training_job(job_name, settings, policy, model="$model_number", candidate="$model_candidate"),
        retries=[retry(*SAGEMAKER_ERRORS)],
        timeout_seconds=job_timeout(settings),
        catches=(quota, {"ErrorEquals": ["States.TaskFailed"], **broken, "Next": CAPACITY}),
        next_state="",
    )
    state = training[TRAIN]
    state["Catch"][-1] = {"ErrorEquals": ["States.ALL"], **broken, "Next": BROKEN}
    del state["Next"]
    state |= {
        "Output": {
            "number": jsonata("$model_number"),
            "model_uri": jsonata("$states.result.ModelArtifacts.S3ModelArtifacts"),
            "model_version": jsonata("$states.result.TrainingJobName"),
            "metrics": jsonata("$merge([{}, $states.result.FinalMetricDataList.{MetricName: Value}])"),
            "candidate": jsonata("$model_candidate"),
            "job": {
                "name": jsonata("$states.result.TrainingJobName"),
                "seconds": jsonata("$states.result.TrainingTimeInSeconds"),
                "billable_seconds": jsonata("$states.result.BillableTimeInSeconds"),
            },
            "refused": jsonata("$model_refused"),
        },
        "End": True,
    }
    return merge(
        remember(
            TAKE,
            {
                "model_number": jsonata("$states.input.number"),
                "model_candidates": jsonata(FM.priced_each),
                "model_candidate_index": 0,
                "model_refused": [],
            },
            next_state=NEXT,
        ),
        FM.next_of("model", "$model_number", state=NEXT, attempt=TRAIN, otherwise=NO_INSTANCE),
        training,
    )


def _after_refusals(missing: str) -> States:
    """What an iteration without a model ends with."""
    ends = {
        NO_INSTANCE: {},
        BROKEN: {"failure": jsonata("$model_failure")},
    }
    return merge(
        decide(CAPACITY, (missing, NEXT, _refused("$model_failure.error")), otherwise=BROKEN),
        {
            name: {
                "Type": "Pass",
                "Output": {
                    "number": jsonata("$model_number"),
                    "refused": jsonata("$model_refused"),
                    **more,
                },
                "End": True,
            }
            for name, more in ends.items()
        },
    )


def _refused(error: str) -> State:
    return FM.note_refusal("model", "$model_number", error)


def _results() -> State:
    """The variables that one training sets, from all of them."""
    step = "(number = 1 ? 'fm_training' : 'fm_training_' & $string(number))"
    return {
        "model_uri": jsonata("$models[0].model_uri"),
        "model_uris": jsonata("[$models.model_uri]"),
        "model_version": jsonata("$models[0].model_version"),
        "metrics": jsonata(
            "( $all := [$models.metrics]; $merge([{}, $map($keys($all[0]), function($name) {"
            "{$name: $average($all.$lookup($, $name))}})]) )"
        ),
        "chosen": jsonata(f"$merge([$chosen, $models.{{{step}: candidate}}])"),
        "jobs": jsonata(f"$merge([$jobs, $models.{{{step}: job}}])"),
    }
