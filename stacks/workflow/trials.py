"""Trials of hyperparameters, compared by the ranking of held-out picks, before the model is trained.

Rounds of training jobs on the rows without those of validation, each job with instance candidates of its own:
a trial that a quota or missing capacity refuses goes on to its next candidate while the others train. Each
trained trial is exported and evaluated by the functions that do so for the model itself. A function without
any permission proposes the next round by what was reached (`fmrec.deployment.trials`), until jobs or time are
used up; the best trial's values go over the run's. A trial that fails brings no model, and the search goes on
without it; where none brings one, the run ends with the reason.

Dollars and minutes are held by ``MaxRuntimeInSeconds``: each trial has its share, at its candidate's price.

An iteration of a Map reads the machine's variables and sets only its own, named ``trial_…``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.artifacts import layout
from fmrec.deployment.defaults import RANKING_OBJECTIVE
from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow.candidates import NO_CAPACITY, QUOTA_REFUSED, Candidates
from stacks.workflow.state_builders import (
    EXPLAIN,
    LAMBDA_ERRORS,
    SAGEMAKER_ERRORS,
    State,
    States,
    catch_all,
    decide,
    failure,
    invoke,
    jsonata,
    merge,
    remember,
    resource,
    retry,
)
from stacks.workflow.training import CHOOSE, RECORDIO, SPOT_SECONDS, job_timeout, training_job

BUDGET = "Does the budget allow trials?"
PROPOSE = "Propose the next trials"
PROPOSED = "Are there trials to run?"
RUN = "Run the trials"

TAKE = "Load the instance candidates for a trial"
NEXT = "Is an instance candidate left for this trial?"
TRAIN = "Train a trial"
CAPACITY = "Was capacity unavailable for this trial?"
EXPORT = "Export the embeddings of a trial"
EVALUATE = "Evaluate the ranking of a trial"
NO_INSTANCE = "Go on without this trial"
BROKEN = "Record the failure of this trial"

LEAST_SECONDS = 300
"""A training job that may run for less is not worth starting: fewer trials are made instead."""
CAUSE_CHARACTERS = 500
"""Of each failed trial's cause, for the report."""

BY_RANKING = f"$tuning.objective.MetricName = '{RANKING_OBJECTIVE}'"
LIMITS = (
    f"{BY_RANKING} ? $merge([$tuning, $type($by_shape) = 'object' "
    "? {'free': [$keys($by_shape.hyperparameters)]} : {}]) : null"
)
"""What a plan is asked with; null where SageMaker tunes."""


@dataclass(frozen=True)
class _Trials(Candidates):
    """What surrounds the Map: the last resort where no trial at all has found an instance."""

    @property
    def next_candidate(self) -> str:
        return PROPOSED


TRIALS = _Trials("fm_trials", "trials", LIMITS)


def search(settings: Settings, policy: Policy) -> States:
    """All states between the plan for tuning and the choice of instances for the training."""
    resorts = settings.instances.last_resort
    return merge(
        remember(
            TRIALS.take,
            {
                "refused": [],
                "trials": [],
                "trial_failures": [],
                # A plan's price is that of all jobs at the same time.
                "priced": jsonata(
                    f"( $jobs := {TRIALS.planned}.needs.parallel_jobs; [{TRIALS.planned}.candidates.$merge([$, "
                    "{'usd_per_hour': $type(usd_per_hour) = 'number' ? usd_per_hour / $jobs : null}])] )"
                ),
            },
            next_state=BUDGET,
        ),
        _budget(settings, policy, exhausted=TRIALS.exhausted(resorts.training)),
        _propose(exhausted=TRIALS.exhausted(resorts.training)),
        {
            RUN: {
                "Type": "Map",
                "Items": jsonata("$proposed"),
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": TAKE,
                    "States": merge(_one_trial(settings, policy), _judge(), _without_a_model()),
                },
                "Assign": {
                    "trials": jsonata("[$append($trials, [$states.result.trial])]"),
                    "refused": jsonata("$append($refused, [$states.result.refused])"),
                    "refusals": jsonata("$append($refusals, [$states.result.refused])"),
                    "trial_failures": jsonata("$append($trial_failures, [$states.result.failure])"),
                },
                "Catch": [catch_all(RUN, "training")],
                "Next": PROPOSE,
            }
        },
        TRIALS.last_resort_states(resorts.training, resorts.wait_minutes),
    )


def _budget(settings: Settings, policy: Policy, *, exhausted: str) -> States:
    """As many trials, each as long, as dollars and minutes allow."""
    longest = SPOT_SECONDS if policy.spot_training else settings.instances.maximum_training_hours * 3600
    first = "$priced[$type(usd_per_hour) = 'number'][0].usd_per_hour"
    return decide(
        BUDGET,
        ("$count($priced) = 0", exhausted),
        (
            f"$exists({first}) and $tuning.maximum_minutes * 60 >= {LEAST_SECONDS} "
            f"? $tuning.maximum_usd / {first} * 3600 >= {LEAST_SECONDS} : false",
            PROPOSE,
            {
                "trial_limits": jsonata(
                    f"( $paid := $tuning.maximum_usd / {first} * 3600; "
                    f"$parallel := {TRIALS.planned}.needs.parallel_jobs; "
                    f"$timed := $floor($tuning.maximum_minutes * 60 / {LEAST_SECONDS}) * $parallel; "
                    f"$jobs := $min([$tuning.maximum_jobs, $floor($paid / {LEAST_SECONDS}), $timed]); "
                    "$rounds := $ceil($jobs / $parallel); "
                    "{ 'wanted_jobs': $tuning.maximum_jobs, 'jobs': $jobs, 'parallel_jobs': $min([$parallel, $jobs]), "
                    f"'seconds_per_job': $min([{longest}, $floor($tuning.maximum_minutes * 60 / $rounds)]), "
                    "'usd_per_job': $tuning.maximum_usd / $jobs, 'maximum_usd': $tuning.maximum_usd, "
                    "'maximum_minutes': $tuning.maximum_minutes } )"
                ),
                "best": None,
            },
        ),
        otherwise=EXPLAIN,
        assign={
            "failure": {
                "state": BUDGET,
                "log": "",
                "name": "",
                "error": {
                    "Error": "TuningBudgetError",
                    "Cause": jsonata(
                        "'tuning may cost ' & $string($tuning.maximum_usd) & ' dollars and take ' & "
                        "$string($tuning.maximum_minutes) & ' minutes, and ' & $priced[0].instance_type & ' costs ' & "
                        f"($exists({first}) ? $string({first}) : 'an unknown number of') & "
                        f"' dollars an hour: expected enough for one trial of {LEAST_SECONDS} seconds; raise "
                        "tuning.maximum_usd or tuning.maximum_minutes, or leave tuning out'"
                    ),
                },
            }
        },
    )


def _propose(*, exhausted: str) -> States:
    """The next round, or what has come of all."""
    answer = "$states.result.Payload"
    return merge(
        invoke(
            PROPOSE,
            "${ProposeTrials}",
            {
                "hyperparameters": jsonata("$hyperparameters"),
                "free": jsonata("$type($by_shape) = 'object' ? [$keys($by_shape.hyperparameters)] : []"),
                "trials": jsonata("$trials"),
                "budget": {
                    "parallel_jobs": jsonata("$trial_limits.parallel_jobs"),
                    "maximum_jobs": jsonata("$trial_limits.jobs"),
                    "training_seconds": jsonata(f"{TRIALS.planned}.seconds.training"),
                    "fixed_seconds": jsonata(f"{TRIALS.planned}.seconds.fixed"),
                },
            },
            assign={"proposed": jsonata(f"[{answer}.trials]"), "best": jsonata(f"{answer}.best")},
            next_state=PROPOSED,
        ),
        decide(
            PROPOSED,
            ("$count($proposed) > 0", RUN),
            (
                "$type($best) = 'object'",
                CHOOSE,
                {
                    "hyperparameters": jsonata("$merge([$hyperparameters, $best.hyperparameters])"),
                    "tuned": {
                        "objective": jsonata("$tuning.objective.MetricName"),
                        "value": jsonata("$best.ndcg"),
                        "best": jsonata("$best.number"),
                        "best_job": jsonata("$best.job.name"),
                        "hyperparameters": jsonata("$best.hyperparameters"),
                        "trials": jsonata("$trials"),
                        "limits": jsonata("$trial_limits"),
                    },
                },
            ),
            (
                "$count($trial_failures) > 0",
                EXPLAIN,
                {"failure": jsonata("$trial_failures[0]")},
            ),
            otherwise=exhausted,
        ),
    )


def _one_trial(settings: Settings, policy: Policy) -> States:
    """An iteration: candidates that the trial's share of the dollars pays for, until a job has trained it."""
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
            {
                "ChannelName": "train",
                "ContentType": RECORDIO,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": jsonata(f"$encoded_uri & '{layout.TUNING}{layout.TRAIN}'"),
                        "S3DataDistributionType": policy.data_distribution,
                    }
                },
            }
        ],
        candidate="$trial_candidate",
    )
    job["StoppingCondition"] = {
        "MaxRuntimeInSeconds": jsonata(seconds),
        **({"MaxWaitTimeInSeconds": jsonata(seconds)} if policy.spot_training else {}),
    }
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
        decide(
            NEXT,
            (
                "$trial_candidate_index < $count($trial_candidates)",
                TRAIN,
                {
                    "trial_candidate": jsonata("$trial_candidates[$trial_candidate_index]"),
                    "trial_candidate_index": jsonata("$trial_candidate_index + 1"),
                    "trial_attempt": jsonata(
                        f"$count($refusals[step = {TRIALS.key} and trial = $trial.number]) + $count($trial_refused) + 1"
                    ),
                },
            ),
            otherwise=NO_INSTANCE,
        ),
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
                        "Assign": _refused("$states.errorOutput"),
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


def _without_a_model() -> States:
    """What an iteration without a judged model ends with."""
    missing = f"$contains($trial_failure.error.Cause & '', {NO_CAPACITY})"
    why = "'why': $trial_failure.error.Error & ': ' & $substring($trial_failure.error.Cause, 0, {})"
    ends: dict[str, tuple[str, dict[str, Any]]] = {
        NO_INSTANCE: ("'why': 'no instance was left for it', 'usd': 0", {}),
        BROKEN: (why.format(CAUSE_CHARACTERS), {"failure": jsonata("$trial_failure")}),
    }
    return merge(
        decide(CAPACITY, (missing, NEXT, _refused("$trial_failure.error")), otherwise=BROKEN),
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


def _refused(error: str) -> State:
    record = TRIALS.record(error, "$trial_candidate")
    return {
        "trial_refused": jsonata(f"$append($trial_refused, [$merge([{record}, {{'trial': $trial.number}}])])")
    }
