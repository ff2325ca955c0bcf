"""Trials of hyperparameters, compared by the ranking of held-out picks, before the model is trained.

Rounds of training jobs on the rows without those of validation, each job with instance candidates of its own:
a trial that a quota or missing capacity refuses goes on to its next candidate while the others train. Each
trained trial is exported and evaluated by the functions that do so for the model itself. A function without
any permission proposes the next round by what was reached (`fmrec.deployment.trials`), until jobs or time are
used up; the best trial's values go over the run's. A trial that fails brings no model, and the search goes on
without it; where none brings one, the run ends with the reason.

Dollars and minutes are held by ``MaxRuntimeInSeconds``: each trial has its share, at its candidate's price.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmrec.deployment.defaults import RANKING_OBJECTIVE
from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow.candidates import Candidates
from stacks.workflow.one_trial import TAKE, one_trial
from stacks.workflow.state_builders import (
    EXPLAIN,
    States,
    catch_all,
    decide,
    invoke,
    jsonata,
    merge,
    own_failure,
    remember,
)
from stacks.workflow.training import CHOOSE, LEAST_SECONDS, longest_seconds

BUDGET = "Does the budget allow trials?"
PROPOSE = "Propose the next trials"
PROPOSED = "Are there trials to run?"
RUN = "Run the trials"

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
                "priced": jsonata(TRIALS.priced_each),
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
                    "States": one_trial(TRIALS, settings, policy),
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
    longest = longest_seconds(settings, policy)
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
            "failure": own_failure(
                BUDGET,
                "TuningBudgetError",
                "'tuning may cost ' & $string($tuning.maximum_usd) & ' dollars and take ' & "
                "$string($tuning.maximum_minutes) & ' minutes, and ' & $priced[0].instance_type & ' costs ' & "
                f"($exists({first}) ? $string({first}) : 'an unknown number of') & "
                f"' dollars an hour: expected enough for one trial of {LEAST_SECONDS} seconds; raise "
                "tuning.maximum_usd or tuning.maximum_minutes, or leave tuning out'",
            )
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
