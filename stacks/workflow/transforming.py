"""A batch transform on the instances that there are: the fragment that lists and scores share."""

from __future__ import annotations

from stacks.settings import Settings
from stacks.workflow.candidates import Candidates
from stacks.workflow.state_builders import SAGEMAKER_ERRORS, States, jsonata, merge, retry, task
from stacks.workflow.training import RECORDIO, job_timeout, tags

PAYLOAD_MB = 1
"""Some 3,400 queries or 15,000 pairs a request: a container answers within its time, and its answer, a
hundred times the query for k = 100 neighbours, stays small enough to send."""


def transform(
    candidates: Candidates,
    state: str,
    settings: Settings,
    *,
    job: str,
    input_uri: str,
    output_uri: str,
    accept: str,
    next_state: str,
) -> States:
    """The job in `state` and the loop over instances around it; it transforms with ``$model_name``.

    Parameters
    ----------
    job
        What the job's name ends with, before the number of the try.
    input_uri, output_uri
        Expressions for the folder of recordIO-protobuf and the folder to write to.
    accept
        The form of the answers, JSON Lines of some kind.
    """
    resorts = settings.instances.last_resort
    job_name = jsonata(f"$job_prefix & '-{job}-' & $string($attempt)")
    return merge(
        candidates.states(attempt=state, exhausted=candidates.exhausted(resorts.transform)),
        task(
            state,
            "RunTransformJob",
            {
                "TransformJobName": job_name,
                "ModelName": jsonata("$model_name"),
                "BatchStrategy": "MultiRecord",
                "MaxPayloadInMB": PAYLOAD_MB,
                "TransformInput": {
                    "ContentType": RECORDIO,
                    "SplitType": "RecordIO",
                    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": jsonata(input_uri)}},
                },
                "TransformOutput": {
                    "S3OutputPath": jsonata(output_uri),
                    "Accept": accept,
                    "AssembleWith": "Line",
                    "KmsKeyId": "${Key}",
                },
                "TransformResources": {
                    "InstanceType": jsonata("$candidate.instance_type"),
                    "InstanceCount": jsonata("$candidate.instance_count"),
                    "VolumeKmsKeyId": "${Key}",
                },
                "Tags": tags(),
            },
            retries=[retry(*SAGEMAKER_ERRORS)],
            timeout_seconds=job_timeout(settings),
            assign={
                "chosen": jsonata(f"$merge([$chosen, {{'{candidates.step}': $candidate}}])"),
                "jobs": jsonata(
                    f"$merge([$jobs, {{'{candidates.step}': {{'name': $states.result.TransformJobName, "
                    "'started': $states.result.TransformStartTime, "
                    "'ended': $states.result.TransformEndTime}}])"
                ),
            },
            catches=candidates.catches(state, "transform", job_name),
            log="transform",
            log_name=job_name,
            next_state=next_state,
        ),
        candidates.capacity_states(),
        candidates.last_resort_states(resorts.transform, resorts.wait_minutes),
    )
