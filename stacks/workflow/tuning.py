"""Hyperparameter tuning before the training, where the input or the settings ask for it.

A second encoding of the same interactions cuts validation rows from the training rows, so that test rows
choose nothing. Top-N lists are tuned by trials that are compared by ranking (`stacks.workflow.trials`). For
what the container measures, a SageMaker tuning job trains on the rest with drawn hyperparameters, on an
instance that is chosen as for the training itself; the best job's values go over the run's. Its dollars are
held by two limits that SageMaker keeps: how many jobs, and how long each may run, at the price of the
instance that was found.
"""

from __future__ import annotations

from fmrec.artifacts import layout
from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow import trials
from stacks.workflow.candidates import Candidates, choose
from stacks.workflow.state_builders import (
    EXPLAIN,
    SAGEMAKER_ERRORS,
    State,
    States,
    decide,
    jsonata,
    merge,
    own_failure,
    retry,
    task,
)
from stacks.workflow.training import (
    CHOOSE,
    DATA,
    LEAST_SECONDS,
    channel,
    encoding_job,
    longest_seconds,
    resources,
    stopping,
    tags,
)

WANTED = "Is tuning requested?"
CUT = "Encode the validation split"
PLAN = "Choose instances for tuning"
BY_RANKING = "Are trials compared by ranking?"
BUDGET = "Does the budget allow tuning?"
TUNE = "Tune the hyperparameters"

LONGEST_DAYS = 7

TUNING = Candidates("fm_training", "tuning")


def tune(settings: Settings, policy: Policy) -> States:
    """All states between the encoding and the choice of instances for the training."""
    resorts = settings.instances.last_resort
    # SageMaker takes 32 characters here, so the run's name has no room: the millisecond of its start stands
    # in.
    name = jsonata(
        f"'{settings.prefix}-t-' & $substring($replace($started, /[^0-9]/, ''), 0, 17) & '-' & $string($attempt)"
    )
    return merge(
        decide(WANTED, ("$type($tuning) = 'object'", CUT), otherwise=CHOOSE),
        encoding_job(
            CUT,
            settings,
            output=f"$encoded_uri & '{layout.TUNING}'",
            record="tuning_encoding",
            validation=True,
            next_state=PLAN,
        ),
        choose(PLAN, next_state=BY_RANKING, ensemble=1, tuning=trials.LIMITS),
        decide(BY_RANKING, (trials.BY_RANKING, trials.TRIALS.take), otherwise=TUNING.take),
        trials.search(settings, policy),
        TUNING.states(attempt=BUDGET, exhausted=TUNING.exhausted(resorts.training)),
        _budget(settings, policy),
        task(
            TUNE,
            "RunTuningJob",
            _tuning_job(name, policy),
            retries=[retry(*SAGEMAKER_ERRORS)],
            timeout_seconds=LONGEST_DAYS * 24 * 3600,
            assign={
                "hyperparameters": jsonata(
                    "$merge([$hyperparameters, $states.result.BestTrainingJob.TunedHyperParameters])"
                ),
                "tuned": {
                    "job": jsonata("$states.result.HyperParameterTuningJobName"),
                    "best_job": jsonata("$states.result.BestTrainingJob.TrainingJobName"),
                    "objective": jsonata("$tuning.objective.MetricName"),
                    "value": jsonata(
                        "$states.result.BestTrainingJob.FinalHyperParameterTuningJobObjectiveMetric.Value"
                    ),
                    "hyperparameters": jsonata("$states.result.BestTrainingJob.TunedHyperParameters"),
                    "jobs": jsonata("$states.result.TrainingJobStatusCounters"),
                    "limits": jsonata("$tuning_limits"),
                    "instance_type": jsonata("$candidate.instance_type"),
                    "instance_count": jsonata("$candidate.instance_count"),
                },
            },
            catches=TUNING.catches(TUNE, "tuning", name),
            log="tuning",
            log_name=name,
            next_state=CHOOSE,
        ),
        TUNING.capacity_states(),
        TUNING.last_resort_states(resorts.training, resorts.wait_minutes),
    )


def _budget(settings: Settings, policy: Policy) -> States:
    """As many jobs, each as long, as the dollars allow on the instance at hand."""
    longest = longest_seconds(settings, policy)
    paid = "$tuning.maximum_usd / $candidate.usd_per_hour * 3600"
    return decide(
        BUDGET,
        (
            f"$type($candidate.usd_per_hour) = 'number' ? {paid} >= {LEAST_SECONDS} : false",
            TUNE,
            {
                "tuning_limits": jsonata(
                    f"( $paid := {paid}; "
                    f"$jobs := $min([$tuning.maximum_jobs, $floor($paid / {LEAST_SECONDS})]); "
                    f"$seconds := $min([{longest}, $floor($paid / $jobs)]); "
                    "{ 'wanted_jobs': $tuning.maximum_jobs, 'jobs': $jobs, "
                    "'parallel_jobs': $min([$tuning.parallel_jobs, $jobs]), 'seconds_per_job': $seconds, "
                    "'maximum_usd': $tuning.maximum_usd, "
                    "'usd_at_most': $round($jobs * $seconds / 3600 * $candidate.usd_per_hour, 4) } )"
                )
            },
        ),
        otherwise=EXPLAIN,
        assign={
            "failure": own_failure(
                BUDGET,
                "TuningBudgetError",
                "'tuning may cost ' & $string($tuning.maximum_usd) & ' dollars, and ' & "
                "$candidate.instance_type & ' costs ' & "
                "($type($candidate.usd_per_hour) = 'number' ? $string($candidate.usd_per_hour) : "
                "'an unknown number of') & ' dollars an hour: expected enough for one job of "
                f"{LEAST_SECONDS} seconds; raise tuning.maximum_usd, or leave tuning out'",
            )
        },
    )


def _tuning_job(name: str, policy: Policy) -> State:
    """Arguments of CreateHyperParameterTuningJob for the candidate at hand."""
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": jsonata("$tuning.objective"),
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": jsonata("$tuning_limits.jobs"),
                "MaxParallelTrainingJobs": jsonata("$tuning_limits.parallel_jobs"),
            },
            "ParameterRanges": jsonata("$tuning.ranges"),
            "TrainingJobEarlyStoppingType": "Auto",
        },
        "TrainingJobDefinition": {
            "RoleArn": "${SageMakerRole}",
            "AlgorithmSpecification": {
                "TrainingImage": "${FactorizationMachinesImage}",
                "TrainingInputMode": policy.input_mode,
            },
            "StaticHyperParameters": jsonata(
                "$merge([$sift($hyperparameters, function($value, $name) { $not($name in $tuning.tuned) }), "
                "{'feature_dim': $string($sizes.feature_dim)}])"
            ),
            "InputDataConfig": [
                channel("train", f"$encoded_uri & '{layout.TUNING}{layout.TRAIN}'", policy.data_distribution),
                channel("test", f"$encoded_uri & '{layout.TUNING}{layout.TEST}'", "FullyReplicated"),
            ],
            "OutputDataConfig": {"S3OutputPath": f"{DATA}/{layout.MODELS}", "KmsKeyId": "${Key}"},
            "ResourceConfig": resources(),
            "StoppingCondition": stopping(jsonata("$tuning_limits.seconds_per_job"), policy),
            **({"EnableManagedSpotTraining": True} if policy.spot_training else {}),
        },
        "Tags": tags(),
    }
