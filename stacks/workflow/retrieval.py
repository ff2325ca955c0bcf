"""From a model to everyone's top-N: embeddings, the k-NN index, batch transform, publishing."""

from __future__ import annotations

from fmrec.artifacts import layout
from fmrec.instances.policy import Policy
from stacks.settings import Settings
from stacks.workflow.candidates import Candidates
from stacks.workflow.names import of_dataset
from stacks.workflow.serving import endpoint_of
from stacks.workflow.state_builders import (
    EXPLAIN,
    LAMBDA_ERRORS,
    SAGEMAKER_ERRORS,
    States,
    catch_all,
    decide,
    invoke,
    jsonata,
    merge,
    resource,
    retry,
    task,
)
from stacks.workflow.training import channel, job_timeout, record_training, tags, training_job
from stacks.workflow.transforming import transform

EXPORT = "Export the embeddings"
INDEX = "Build the k-NN index"
MODEL = "Create the k-NN model"
TRANSFORM = "Generate recommendations for all users"
PUBLISH = "Publish the recommendations"
PUBLISH_PART = "Publish a batch of users"
COMPLETE = "Does every user have recommendations?"
POPULAR = "Publish popular items"
DEPARTED = "Remove lists of departed users"

MINI_BATCH = 5000
"""k-NN's default; fewer rows than a mini-batch are fine."""
LAMBDA_SECONDS = 900
MAXIMUM_ITEMS = 400
"""Calls that publish: an execution's history has room for some 25,000 events."""

KNN = Candidates("knn_training", "k-NN training")
BATCH = Candidates("batch_transform", "batch transform")


def export(*, next_state: str) -> States:
    answer = "$states.result.Payload"
    return invoke(
        EXPORT,
        "${ExportEmbeddings}",
        {
            "model_uris": jsonata("$model_uris"),
            "manifest_uri": jsonata("$manifest_uri"),
            "output_uri": jsonata("$embeddings_uri"),
            "co_occurrence": jsonata("$serving.co_occurrence"),
            "folding_in": True,
        },
        assign={
            "embeddings": {
                "uri": jsonata(f"{answer}.uri"),
                "dim": jsonata(f"{answer}.dim"),
                "users": jsonata(f"{answer}.users"),
                "items": jsonata(f"{answer}.items"),
                "query_parts": jsonata(f"{answer}.query_parts"),
            }
        },
        next_state=next_state,
    )


def index(settings: Settings, policy: Policy) -> States:
    resorts = settings.instances.last_resort
    job_name = jsonata("$job_prefix & '-knn-' & $string($attempt)")
    return merge(
        KNN.states(attempt=INDEX, exhausted=KNN.exhausted(resorts.training)),
        task(
            INDEX,
            "RunTrainingJob",
            training_job(
                job_name,
                settings,
                policy,
                image="${KnnImage}",
                hyperparameters={
                    "feature_dim": jsonata("$string($embeddings.dim)"),
                    "k": jsonata("$string($min([$serving.neighbours, $embeddings.items]))"),
                    "predictor_type": "classifier",
                    "sample_size": jsonata("$string($embeddings.items)"),
                    "index_type": "faiss.Flat",
                    "index_metric": "INNER_PRODUCT",
                    "mini_batch_size": jsonata(f"$string($min([{MINI_BATCH}, $embeddings.items]))"),
                },
                input_mode="File",
                channels=[channel("train", f"$embeddings_uri & '{layout.ITEMS}'", "FullyReplicated")],
            ),
            retries=[retry(*SAGEMAKER_ERRORS)],
            timeout_seconds=job_timeout(settings),
            assign={
                "index_uri": jsonata("$states.result.ModelArtifacts.S3ModelArtifacts"),
                **record_training("knn_training"),
            },
            catches=KNN.catches(INDEX, "training", job_name),
            log="training",
            log_name=job_name,
            next_state=MODEL,
        ),
        KNN.capacity_states(),
        KNN.last_resort_states(resorts.training, resorts.wait_minutes),
    )


def model(settings: Settings) -> States:
    return task(
        MODEL,
        "CreateModel",
        {
            "ModelName": jsonata("$job_prefix & '-knn'"),
            "ExecutionRoleArn": "${SageMakerRole}",
            "PrimaryContainer": {"Image": "${KnnImage}", "ModelDataUrl": jsonata("$index_uri")},
            "Tags": tags(),
        },
        retries=[retry(*SAGEMAKER_ERRORS)],
        timeout_seconds=300,
        assign={
            "model_name": jsonata("$job_prefix & '-knn'"),
            **endpoint_of(
                of_dataset(f"{settings.prefix}-", "'knn'"),
                "knn_endpoint",
            ),
        },
        next_state=BATCH.take,
    )


def rank(settings: Settings) -> States:
    """Batch transform of every user's query."""
    return transform(
        BATCH,
        TRANSFORM,
        settings,
        job="transform",
        input_uri=f"$embeddings_uri & '{layout.QUERIES}'",
        output_uri="$neighbours_uri",
        accept="application/jsonlines; verbose=true",
        next_state=PUBLISH,
    )


def publish(settings: Settings, *, next_state: str) -> States:
    part = {
        "Type": "Task",
        "Resource": resource("InvokeFunction"),
        "Arguments": {
            "FunctionName": "${PublishRecommendations}",
            "Payload": {
                "manifest_uri": jsonata("$manifest_uri"),
                "embeddings_uri": jsonata("$embeddings.uri"),
                "neighbours_uri": jsonata("$neighbours_uri"),
                "output_uri": jsonata("$recommendations_uri"),
                "table": "${Table}",
                "parts": jsonata("$states.input.parts"),
                "per_user": jsonata("$serving.recommendations_per_user"),
                "model_version": jsonata("$model_version"),
                "exclude_seen": jsonata("$serving.exclude_seen"),
                "filters": jsonata("$serving.filters"),
            },
        },
        "Output": jsonata("$states.result.Payload"),
        "TimeoutSeconds": LAMBDA_SECONDS,
        "Retry": [retry(*LAMBDA_ERRORS)],
        "End": True,
    }
    return merge(
        {
            PUBLISH: {
                "Type": "Map",
                "Items": jsonata(
                    f"( $parts := $embeddings.query_parts; $per_call := $ceil($parts / {MAXIMUM_ITEMS}); "
                    "[[0..$ceil($parts / $per_call) - 1].{'parts': [$ * $per_call, "
                    "$min([($ + 1) * $per_call, $parts])]}] )"
                ),
                "MaxConcurrency": settings.functions.publish_concurrency,
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": PUBLISH_PART,
                    "States": {PUBLISH_PART: part},
                },
                "Assign": {
                    "published": {
                        "users": jsonata("$sum($states.result.users)"),
                        "recommendations": jsonata("$sum($states.result.recommendations)"),
                        "table": "${Table}",
                    }
                },
                # What a part needs again, its own task has repeated: a part that failed stays failed.
                "Catch": [catch_all(PUBLISH, "function", "${PublishRecommendations}")],
                "Next": COMPLETE,
            }
        },
        decide(
            COMPLETE,
            ("$published.users = $embeddings.users", POPULAR),
            otherwise=EXPLAIN,
            assign={
                "failure": {
                    "state": PUBLISH,
                    "log": "function",
                    "name": "${PublishRecommendations}",
                    "error": {
                        "Error": "CountsError",
                        "Cause": jsonata(
                            "$string($published.users) & ' users have recommendations, but the model knows ' "
                            "& $string($embeddings.users) & ': the answers of batch transform in ' "
                            "& $neighbours_uri & ' are not all there'"
                        ),
                    },
                }
            },
        ),
        invoke(
            POPULAR,
            "${PublishPopular}",
            {
                "manifest_uri": jsonata("$manifest_uri"),
                "table": "${Table}",
                "per_user": jsonata("$serving.recommendations_per_user"),
                "model_version": jsonata("$model_version"),
                "filters": jsonata("$serving.filters"),
                "segments_uri": jsonata("$serving.segments"),
            },
            assign={
                "published": jsonata("$merge([$published, {'popular_lists': $states.result.Payload.lists}])")
            },
            next_state=DEPARTED,
        ),
        invoke(
            DEPARTED,
            "${RemoveDepartedUsers}",
            {
                "table": "${Table}",
                "dataset": jsonata("$dataset_name"),
                "model_version": jsonata("$model_version"),
            },
            assign={
                "published": jsonata("$merge([$published, {'removed': $states.result.Payload.removed}])")
            },
            next_state=next_state,
        ),
    )
