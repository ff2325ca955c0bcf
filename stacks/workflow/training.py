"""From the execution's input to a trained model: check, encode, choose, train."""

from __future__ import annotations

from typing import Any

from fmrec.artifacts import layout
from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow.candidates import STEPS, Candidates
from stacks.workflow.names import TAG
from stacks.workflow.state_builders import (
    SAGEMAKER_ERRORS,
    State,
    States,
    decide,
    invoke,
    jsonata,
    merge,
    remember,
    retry,
    task,
)

BEGIN = "Initialize the run"
CHECK_INPUT = "Check the input"
ENCODED = "Is the data encoded already?"
ENCODE = "Encode the interactions"
COMPARE = "Compare the data with the champion's"
CHOOSE = "Choose instances"
TRAIN = "Train the factorization machine"

RECORDIO = "application/x-recordio-protobuf"
DATA = "s3://${DataBucket}"
SPOT_SECONDS = 3600
LEAST_SECONDS = 300
"""A training job that may run for less is not worth starting: a search makes fewer instead."""
"""The algorithms write no checkpoints, and SageMaker gives those that don't an hour of spot at most."""
QUEUE_SECONDS = 1800
"""What a Glue run may wait for its start (Flex) beyond its own time-out."""

FM = Candidates("fm_training", "FM training")


def begin(settings: Settings) -> States:
    """Set every variable that the end of the run reads, however early it comes."""
    run = "$states.context.Execution.Name"
    return remember(
        BEGIN,
        {
            "run": jsonata(run),
            "started": jsonata("$states.context.Execution.StartTime"),
            "execution_arn": jsonata("$states.context.Execution.Id"),
            "job_prefix": jsonata(f"'{settings.prefix}-' & {run}"),
            "encoded_uri": jsonata(f"'{DATA}/{layout.ENCODED}' & {run} & '/'"),
            "manifest_uri": jsonata(f"'{DATA}/{layout.ENCODED}' & {run} & '/{layout.MANIFEST}'"),
            "embeddings_uri": jsonata(f"'{DATA}/{layout.EMBEDDINGS}' & {run} & '/'"),
            "neighbours_uri": jsonata(f"'{DATA}/{layout.NEIGHBOURS}' & {run} & '/'"),
            "recommendations_uri": jsonata(f"'{DATA}/{layout.RECOMMENDATIONS}' & {run} & '/'"),
            "evaluation_uri": jsonata(f"'{DATA}/{layout.EVALUATIONS}' & {run} & '/{layout.RANKING}'"),
            "report_uri": jsonata(f"'{DATA}/{layout.RUNS}' & {run} & '/{layout.REPORT}'"),
            "name_prefix": f"{settings.prefix}-",
            "started_by": jsonata(
                "$exists($states.context.Execution.Input.started_by) "
                "? $states.context.Execution.Input.started_by : 'a person'"
            ),
            "refusals": [],
            "lock_waits": 0,
            **{f"waited_{step}": 0 for step in STEPS},
            "chosen": {},
            "jobs": {},
            "evaluation": None,
            "embeddings": {},
            "published": {"users": 0, "recommendations": 0, "table": "${Table}"},
            "scores_uri": jsonata(f"'{DATA}/{layout.SCORES}' & {run} & '/'"),
            "predictions_uri": jsonata(f"'{DATA}/{layout.PREDICTIONS}' & {run} & '/'"),
            "decision": None,
            "tuned": None,
            "by_shape": None,
            "models": [],
            "model_uris": [],
            "drift": None,
            "scaling": settings.serving.scaling.limits if settings.serving.scaling else None,
        },
        next_state=CHECK_INPUT,
    )


def check_input(settings: Settings) -> States:
    return invoke(
        CHECK_INPUT,
        "${CheckInput}",
        {
            "run": jsonata("$run"),
            "input": jsonata("$states.context.Execution.Input"),
            "defaults": {
                "task": settings.task,
                "tasks": {name: task.model_dump() for name, task in settings.tasks.items()},
                "dataset": settings.dataset,
                "drift": settings.drift.model_dump(),
                "serving": settings.serving.of_a_run,
                "tuning": settings.tuning.model_dump() if settings.tuning else None,
                "ensemble": settings.ensemble,
                "left_out_users": settings.left_out_users,
            },
        },
        assign={
            name: jsonata(f"$states.result.Payload.{name}")
            for name in (
                "task",
                "thresholds",
                "dataset",
                "encoded",
                "hyperparameters",
                "serving",
                "promotion",
                "tuning",
                "ensemble",
                "dataset_name",
                "replace_catalogue",
                "drift_limits",
            )
        },
        next_state=ENCODED,
    )


def encode(settings: Settings, *, next_state: str) -> States:
    """Encode, unless the input names an encoding: then all that follows reads that one.

    `next_state` follows, except for a promotion: that goes on to the instances.
    """
    earlier = {
        "encoded_uri": jsonata(f"'{DATA}/{layout.ENCODED}' & $encoded & '/'"),
        "manifest_uri": jsonata(f"'{DATA}/{layout.ENCODED}' & $encoded & '/{layout.MANIFEST}'"),
    }
    return merge(
        decide(
            ENCODED,
            ("$type($promotion) = 'object'", CHOOSE, earlier),
            ("$type($encoded) = 'string'", next_state, earlier),
            otherwise=ENCODE,
        ),
        encoding_job(ENCODE, settings, output="$encoded_uri", record="encoding", next_state=next_state),
    )


def encoding_job(
    state: str,
    settings: Settings,
    *,
    output: str,
    record: str,
    next_state: str,
    validation: bool = False,
) -> States:
    """A run of the Glue job.

    Parameters
    ----------
    output
        Expression of the prefix that it writes to.
    record
        Its name among the run's jobs.
    validation
        Hold out rows to choose hyperparameters by, in place of the test rows.
    """
    return task(
        state,
        "RunGlueJob",
        {
            "JobName": "${EncodingJob}",
            "Arguments": {
                # Hyperparameters are compared on the rows of one model.
                "--dataset": jsonata(
                    "$string($merge([$dataset, {'label': $merge([$dataset.label, $exists($dataset.label.models) "
                    "? {'models': 1} : {}])}]))"
                    if validation
                    else "$string($dataset)"
                ),
                "--raw": f"{DATA}/{layout.RAW}",
                "--output": jsonata(output),
                "--run": jsonata("$run"),
                **({"--validation": "true"} if validation else {}),
            },
        },
        retries=[
            retry(
                "Glue.ConcurrentRunsExceededException",
                "Glue.ResourceNumberLimitExceededException",
                first_seconds=60,
                attempts=20,
                longest_seconds=300,
            ),
            retry("Glue.AWSGlueException", first_seconds=5),
        ],
        timeout_seconds=settings.glue.timeout_minutes * 60 + QUEUE_SECONDS,
        assign={
            "jobs": jsonata(
                f"$merge([$jobs, {{'{record}': {{'name': $states.result.JobName, 'id': $states.result.Id, "
                "'seconds': $states.result.ExecutionTime}}])"
            )
        },
        log="glue",
        log_name="${EncodingJob}",
        next_state=next_state,
    )


def train(settings: Settings, policy: Policy, *, next_state: str) -> States:
    resorts = settings.instances.last_resort
    job_name = jsonata("$job_prefix & '-fm-' & $string($attempt)")
    return merge(
        FM.states(attempt=TRAIN, exhausted=FM.exhausted(resorts.training)),
        task(
            TRAIN,
            "RunTrainingJob",
            fm_training_job(job_name, settings, policy),
            retries=[retry(*SAGEMAKER_ERRORS)],
            timeout_seconds=job_timeout(settings),
            assign={
                "model_uri": jsonata("$states.result.ModelArtifacts.S3ModelArtifacts"),
                "model_uris": [jsonata("$states.result.ModelArtifacts.S3ModelArtifacts")],
                "model_version": jsonata("$states.result.TrainingJobName"),
                "metrics": jsonata("$merge([{}, $states.result.FinalMetricDataList.{MetricName: Value}])"),
                **record_training("fm_training"),
            },
            catches=FM.catches(TRAIN, "training", job_name),
            log="training",
            log_name=job_name,
            next_state=next_state,
        ),
        FM.capacity_states(),
        FM.last_resort_states(resorts.training, resorts.wait_minutes),
    )


def fm_training_job(
    name: str,
    settings: Settings,
    policy: Policy,
    *,
    model: str = "1",
    candidate: str = "$candidate",
) -> State:
    """Arguments of CreateTrainingJob for a factorization machine on what was encoded.

    `model` is an expression for its number: where rows were encoded for several models, each has parts of its
    own (`fmrec.encoding.write_records.RecordOrder.part`).
    """
    own = f"$channel = 'train' and $sizes.models > 1 ? 'part-' & $formatNumber({model}, '00') : ''"
    return training_job(
        name,
        settings,
        policy,
        image="${FactorizationMachinesImage}",
        hyperparameters=jsonata("$merge([$hyperparameters, {'feature_dim': $string($sizes.feature_dim)}])"),
        input_mode=policy.input_mode,
        channels=jsonata(
            "[$map(['train', 'test'][$ = 'train' or $sizes.test_rows > 0], function($channel) {"
            f"{{'ChannelName': $channel, 'ContentType': '{RECORDIO}', 'DataSource': {{'S3DataSource': {{"
            f"'S3DataType': 'S3Prefix', 'S3Uri': $encoded_uri & $channel & '/' & ({own}), "
            "'S3DataDistributionType': $channel = 'train' "
            f"? '{policy.data_distribution}' : 'FullyReplicated'}}}}}}}})]"
        ),
        candidate=candidate,
    )


def training_job(
    name: str,
    settings: Settings,
    policy: Policy,
    *,
    image: str,
    hyperparameters: Any,
    input_mode: str,
    channels: Any,
    candidate: str = "$candidate",
    seconds: Any = None,
) -> State:
    """Arguments of CreateTrainingJob for the candidate at hand; without ``seconds`` it may run as long as
    settings let any training.
    """
    return {
        "TrainingJobName": name,
        "RoleArn": "${SageMakerRole}",
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": input_mode},
        "HyperParameters": hyperparameters,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": f"{DATA}/{layout.MODELS}", "KmsKeyId": "${Key}"},
        "ResourceConfig": resources(candidate),
        "StoppingCondition": stopping(
            longest_seconds(settings, policy) if seconds is None else seconds, policy
        ),
        **({"EnableManagedSpotTraining": True} if policy.spot_training else {}),
        "Tags": tags(),
    }


def stopping(seconds: Any, policy: Policy) -> State:
    """How long a job may run; a spot job may wait for instances no longer than that."""
    return {
        "MaxRuntimeInSeconds": seconds,
        **({"MaxWaitTimeInSeconds": seconds} if policy.spot_training else {}),
    }


def longest_seconds(settings: Settings, policy: Policy) -> int:
    """How long a training job may run at most."""
    return SPOT_SECONDS if policy.spot_training else settings.instances.maximum_training_hours * 3600


def channel(name: str, uri: str, distribution: str) -> State:
    """A channel of recordIO-protobuf below an expression for a folder."""
    return {
        "ChannelName": name,
        "ContentType": RECORDIO,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": jsonata(uri),
                "S3DataDistributionType": distribution,
            }
        },
    }


def resources(candidate: str = "$candidate") -> State:
    """The candidate at hand, its volume encrypted."""
    return {
        "InstanceType": jsonata(f"{candidate}.instance_type"),
        "InstanceCount": jsonata(f"{candidate}.instance_count"),
        "VolumeSizeInGB": jsonata(f"{candidate}.volume_size_gb"),
        "VolumeKmsKeyId": "${Key}",
    }


def job_timeout(settings: Settings) -> int:
    """The job's own limit and an hour for finding instances and moving data."""
    return settings.instances.maximum_training_hours * 3600 + 3600


def record_training(step: str) -> dict[str, str]:
    """Variables that keep what a training job ran on."""
    return {
        "chosen": jsonata(f"$merge([$chosen, {{'{step}': $candidate}}])"),
        "jobs": jsonata(
            f"$merge([$jobs, {{'{step}': {{'name': $states.result.TrainingJobName, "
            "'seconds': $states.result.TrainingTimeInSeconds, "
            "'billable_seconds': $states.result.BillableTimeInSeconds}}])"
        ),
    }


def tags() -> list[State]:
    """What finds a run's jobs in the bill and in searches."""
    values = {
        TAG: "$substringBefore($name_prefix, '-')",
        "fmrec:dataset": "$dataset_name",
        "fmrec:run": "$run",
    }
    return [{"Key": key, "Value": jsonata(value)} for key, value in values.items()]
