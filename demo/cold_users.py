"""Lists for users whom training never saw: the trained job once more without a fifth of the users.

Their rows are taken out of the encoded training channel, a SageMaker training job with the workflow's own
hyperparameters, image, role and instance is trained on the rest, and each of these users is folded in from
what they liked, among items as the workflow exports them, co-occurrence included. λ and c are chosen on items
hidden from their histories, and lists are judged on what was held out.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo import results
from demo.cloud import Cloud
from demo.rival_models import Arena, K
from fmrec.artifacts import layout
from fmrec.artifacts.fold_in_parameters import NEGATIVE_WEIGHT, REGULARIZATION
from fmrec.artifacts.interactions import Interactions
from fmrec.artifacts.manifest import Manifest
from fmrec.deployment.defaults import SERVING
from fmrec.deployment.shape_rule import co_occurrence_factors
from fmrec.errors import FmrecError
from fmrec.live import FoldIn
from fmrec.live.evaluation import choose, judge
from fmrec.live.leave_users_out import draw_left_out, without_users
from fmrec.model.co_occurrence import CoOccurrence, learn
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.ranking.blas import single_threaded_products

Vectors = NDArray[np.float32]

SHARE, SEED = 0.2, 0
LENGTHS = ("1", "3", "5", "10")
CHANNEL_KEYS = ("ChannelName", "ContentType", "CompressionType", "RecordWrapperType", "InputMode")


def write_channel(cloud: Cloud, bucket: str, run: str, manifest: Manifest) -> None:
    """Write a run's training channel without the left-out users' rows, under a name of its own."""
    s3, users = cloud.client("s3"), draw_left_out(manifest.users, SHARE, SEED)
    source, target = (f"{layout.ENCODED}{folder}/{layout.TRAIN}" for folder in (run, _name(run)))
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=source):
        for stored in page.get("Contents", []):
            data = s3.get_object(Bucket=bucket, Key=stored["Key"])["Body"].read()
            s3.put_object(
                Bucket=bucket, Key=target + Path(stored["Key"]).name, Body=without_users(data, users)
            )


def start_training(cloud: Cloud, bucket: str, run: str, job: dict[str, Any]) -> None:
    """Start the run's training job again, on the channel that `write_channel` wrote."""
    channel = next(one for one in job["InputDataConfig"] if one["ChannelName"] == "train")
    uri = f"s3://{bucket}/{layout.ENCODED}{_name(run)}/{layout.TRAIN}"
    location = {"S3DataSource": channel["DataSource"]["S3DataSource"] | {"S3Uri": uri}}
    specification = {
        key: job["AlgorithmSpecification"][key] for key in ("TrainingImage", "TrainingInputMode")
    }
    cloud.client("sagemaker").create_training_job(
        TrainingJobName=_name(run),
        AlgorithmSpecification=specification,
        RoleArn=job["RoleArn"],
        HyperParameters=job["HyperParameters"],
        InputDataConfig=[
            {key: channel[key] for key in CHANNEL_KEYS if key in channel} | {"DataSource": location}
        ],
        OutputDataConfig=job["OutputDataConfig"],
        ResourceConfig=job["ResourceConfig"],
        StoppingCondition=job["StoppingCondition"],
    )


def measure_cold_users(cloud: Cloud, run: str, manifest: Manifest, arena: Arena) -> dict[str, Any]:
    """The report's ``live``: figures of left-out users, and milliseconds for one user's list.

    Waits for the training job that was started.
    """
    model = _trained(cloud, _name(run))
    out = draw_left_out(manifest.users, SHARE, SEED)
    known = np.setdiff1d(np.arange(manifest.users), out)
    liked, seen, relevant = (pairs.take(out) for pairs in (arena.liked, arena.seen, arena.relevant))
    met_by = np.bincount(arena.seen.take(known).items, minlength=arena.items)
    fold_in = _fold_in(model, manifest, known, arena.liked.take(known))
    choice = choose(fold_in, liked, seen, seed=SEED)
    fold_in = fold_in.with_parameters(choice.regularization, choice.negative_weight)
    report = judge(fold_in, liked, seen, relevant, met_by, len(known), k=K, seed=SEED)
    ndcg = {name: found["metrics"]["ndcg_at_10"] for name, found in report["by_interactions"].items()}
    milliseconds = []
    with single_threaded_products():  # as in a Lambda function, whose requests don't share a processor
        for user in np.flatnonzero(liked.counts()).tolist():
            start = time.perf_counter()
            fold_in.recommend(liked.of(user), K, seen=seen.of(user))
            milliseconds.append((time.perf_counter() - start) * 1e3)
    return {
        "users": report["users"],
        "ndcg_at_10": ndcg["all"],
        "popularity_ndcg_at_10": report["popularity"]["metrics"]["ndcg_at_10"],
        "by_interactions": {length: ndcg[length] for length in LENGTHS},
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p95_ms": float(np.percentile(milliseconds, 95)),
    }


def _fold_in(
    model: FactorizationMachine, manifest: Manifest, known: NDArray[np.int64], liked: Interactions
) -> FoldIn:
    """Fold into the vectors of items that `fmrec.model.embeddings.export` makes of the model, and of what the
    known users liked.
    """
    columns = slice(*manifest.ranges["item"])
    factors, linear = model.factors[columns], model.linear[columns]
    found = learn([liked], manifest.items, co_occurrence_factors(manifest.items, model.num_factors))
    offsets = (model.bias + linear).astype(np.float32)
    return with_co_occurrence(model.factors[known], factors, offsets, found, liked)


def with_co_occurrence(
    users: Vectors, items: Vectors, offsets: Vectors, found: CoOccurrence | None, liked: Interactions
) -> FoldIn:
    """Fold into the vectors that the export makes of a machine's, and of what the same users liked.

    Raises
    ------
    FmrecError
        There is no co-occurrence, as nobody liked anything.
    """
    of_model = np.column_stack([users, np.ones(len(users))]), np.column_stack([items, offsets])
    if found is not None:
        found = found.weighed(SERVING["co_occurrence"], of_model, (found.users(liked), found.items))
    if found is None:
        raise FmrecError("nobody but the left-out users liked anything: expected picks to learn from")
    return FoldIn(
        np.hstack([items, found.items]),
        offsets,
        REGULARIZATION,
        NEGATIVE_WEIGHT,
        machines=[items.shape[1]],
        pick_weights=found.pick_weights,
    )


def _name(run: str) -> str:
    return f"{run}-cold-users"


def _trained(cloud: Cloud, name: str) -> FactorizationMachine:
    """Wait for the training job and read its model."""
    sagemaker = cloud.client("sagemaker")
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
    )
    described: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
    if described["TrainingJobStatus"] != "Completed":
        raise FmrecError(f"training job {name} ended {described['TrainingJobStatus']}")
    return results.load_model(cloud, described)
