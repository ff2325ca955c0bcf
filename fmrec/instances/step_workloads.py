"""The steps that need instances: a function for each, from a ``Request`` to a ``Workload``.

Adding a step is adding a function to ``STEP_BUILDERS``, its name to ``policy.ALL_STEPS``, and how
long it takes to ``costs``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from fmrec.deployment.trials import TRAININGS
from fmrec.instances import memory
from fmrec.instances.catalogue import Call
from fmrec.instances.memory import Term, VolumeNeed
from fmrec.instances.policy import Policy
from fmrec.instances.quotas import Fleet
from fmrec.instances.scaling import Scaling
from fmrec.instances.serverless import Serverless
from fmrec.instances.workloads import DEFAULT_MINI_BATCH_SIZE, Request, Sizes, Workload, number

VOLUME_HEADROOM = 1.2
SPOT_MAX_WAIT_SECONDS = 3600
"""MaxWaitTimeInSeconds of managed spot for algorithms that don't checkpoint."""


def workload(step: str, request: Request) -> Workload:
    """Build one step's workload.

    Raises
    ------
    SettingsError
        A hyperparameter or serving setting that isn't a number in range.
    """
    return STEP_BUILDERS[step](request)


def _fm_training(request: Request) -> Workload:
    sizes, policy = request.sizes, request.policy
    count = policy.instance_count("fm_training")
    mini_batch_size = number(request.hyperparameters, "mini_batch_size", DEFAULT_MINI_BATCH_SIZE)
    sharded = policy.data_distribution == "ShardedByS3Key" and count > 1
    impossible = None
    if sharded and sizes.train_parts is not None and sizes.train_parts < count:
        impossible = (
            f"{count} instances but {sizes.train_parts} train parts: with ShardedByS3Key each instance "
            f"needs a part of its own; encode into at least {count} parts or lower the instance count"
        )
    if request.ensemble > 1 and policy.input_mode == "FastFile":
        impossible = (
            "FastFile streams whole folders, and each model of an ensemble reads some of the parts in one: set "
            "input_mode to File or Pipe, or leave out the ensemble"
        )
    return Workload(
        step="fm_training",
        call="training",
        instance_count=count,
        memory=memory.fm_training(
            feature_dim=sizes.feature_dim,
            num_factors=request.num_factors,
            mini_batch_size=mini_batch_size,
            nnz_per_row=sizes.nnz_per_row,
            instance_count=count,
            safety_factor=policy.memory_safety_factor,
        ),
        volume=VolumeNeed(
            terms=(*_channel_terms(sizes, count, sharded, policy), _fm_model_term("artifact", request)),
            headroom=VOLUME_HEADROOM,
            settable=True,
        ),
        parallel_jobs=request.ensemble,
        inputs={
            "feature_dim": sizes.feature_dim,
            "num_factors": request.num_factors,
            "ensemble": request.ensemble,
            "mini_batch_size": mini_batch_size,
            "nnz_per_row": sizes.nnz_per_row,
            "train_rows": sizes.rows,
            "train_bytes": sizes.train_bytes,
            "train_parts": sizes.train_parts,
            "test_bytes": sizes.test_bytes,
            "input_mode": policy.input_mode,
            "data_distribution": policy.data_distribution,
            "spot": policy.spot_training,
        },
        spot=policy.spot_training,
        impossible=impossible,
        notes=(*_input_notes(policy, count), *_spot_notes(policy), *_ensemble_notes(request)),
    )


def _ensemble_notes(request: Request) -> list[str]:
    if request.ensemble == 1:
        return []
    return [
        f"{request.ensemble} models are trained for one index: their jobs run at the same time where the quotas "
        "have room for all of them, and otherwise as many as there is room for"
    ]


def _channel_terms(sizes: Sizes, count: int, sharded: bool, policy: Policy) -> tuple[Term, ...]:
    if policy.input_mode != "File":
        return ()
    # Objects go to hosts whole, so the fullest host may hold one part more than the average.
    share = 1.0
    if sharded:
        parts = sizes.train_parts
        share = math.ceil(parts / count) / parts if parts else 1 / count
    return (
        Term(
            "train channel",
            f"{sizes.train_bytes:,} bytes" + (f" * {share:.3g} (one host's parts)" if sharded else ""),
            sizes.train_bytes * share,
        ),
        Term("test channel", f"{sizes.test_bytes:,} bytes, whole on every host", sizes.test_bytes),
    )


def _input_notes(policy: Policy, count: int) -> list[str]:
    notes = []
    if policy.input_mode == "FastFile":
        notes.append(
            "FastFile streams from S3, so the volume holds the artifact only; that the Factorization "
            "Machines image supports it is not confirmed, the documented modes are File and Pipe"
        )
    elif policy.input_mode == "Pipe":
        notes.append("Pipe streams each epoch from S3, so the volume holds the artifact only")
    if count > 1 and policy.data_distribution == "FullyReplicated":
        notes.append(
            f"every one of the {count} instances reads all rows, so an epoch does {count} times the work; "
            "set data_distribution to ShardedByS3Key to split them"
        )
    return notes


def _spot_notes(policy: Policy) -> list[str]:
    if not policy.spot_training:
        return []
    return [
        "managed spot: the price varies and is lower, the on-demand price is the upper limit; the "
        "algorithm doesn't checkpoint, so an interrupted job starts again, and MaxWaitTimeInSeconds is "
        f"at most {SPOT_MAX_WAIT_SECONDS}"
    ]


def _knn_training(request: Request) -> Workload:
    sizes, policy, dimension = request.sizes, request.policy, request.dimension
    count = policy.instance_count("knn_training")
    record = memory.dense_record_bytes(dimension)
    return Workload(
        step="knn_training",
        call="training",
        instance_count=count,
        memory=memory.knn_training(points=sizes.items, dimension=dimension, instance_count=count),
        volume=VolumeNeed(
            terms=(
                Term("train channel", f"{sizes.items:,} records * {record} bytes", sizes.items * record),
                _index_term("index", request),
            ),
            headroom=VOLUME_HEADROOM,
            settable=True,
        ),
        inputs={
            "items": sizes.items,
            "dimension": dimension,
            "sample_size": sizes.items,
            "index_type": "faiss.Flat",
            "spot": policy.spot_training,
        },
        spot=policy.spot_training,
        notes=tuple(_spot_notes(policy)),
    )


def _batch_transform(request: Request) -> Workload:
    count = request.policy.instance_count("batch_transform")
    notes = (f"{count} instances are busy only if there are as many query parts",) if count > 1 else ()
    return _knn_serving("batch_transform", "transform", request, None, notes)


def _knn_endpoint(request: Request) -> Workload:
    replaces = request.fleets.get("knn_endpoint")
    return _hosted(_knn_serving("knn_endpoint", "hosting", request, replaces, ()), request)


def _knn_serving(
    step: str, call: Call, request: Request, replaces: Fleet | None, notes: tuple[str, ...]
) -> Workload:
    sizes, dimension = request.sizes, request.dimension
    records = memory.records_per_payload(dimension)
    count = request.policy.instance_count(step)
    return Workload(
        step=step,
        call=call,
        instance_count=count,
        memory=memory.knn_serving(
            points=sizes.items,
            dimension=dimension,
            neighbours=request.neighbours,
            records_per_request=records,
            safety_factor=request.policy.memory_safety_factor,
        ),
        volume=_model_volume(_index_term("model", request), _index_term("archive", request)),
        inputs={
            "items": sizes.items,
            "users": sizes.users,
            "dimension": dimension,
            "neighbours": request.neighbours,
            "records_per_request": records,
        },
        replaces=replaces,
        notes=notes,
    )


def _fm_transform(request: Request) -> Workload:
    count = request.policy.instance_count("fm_transform")
    notes = (f"{count} instances are busy only if there are as many test parts",) if count > 1 else ()
    return _fm_serving("fm_transform", "transform", request, None, notes)


def _fm_endpoint(request: Request) -> Workload:
    replaces = request.fleets.get("fm_endpoint")
    return _hosted(_fm_serving("fm_endpoint", "hosting", request, replaces, ()), request)


def _fm_serving(
    step: str, call: Call, request: Request, replaces: Fleet | None, notes: tuple[str, ...]
) -> Workload:
    count = request.policy.instance_count(step)
    return Workload(
        step=step,
        call=call,
        instance_count=count,
        memory=memory.fm_serving(
            feature_dim=request.sizes.feature_dim,
            num_factors=request.num_factors,
            safety_factor=request.policy.memory_safety_factor,
        ),
        volume=_model_volume(_fm_model_term("model", request), _fm_model_term("archive", request)),
        inputs={
            "feature_dim": request.sizes.feature_dim,
            "num_factors": request.num_factors,
            "test_rows": request.sizes.test_rows,
        },
        replaces=replaces,
        notes=notes,
    )


def _model_volume(*terms: Term) -> VolumeNeed:
    # model.tar.gz is unpacked next to itself and may be hardly smaller.
    return VolumeNeed(terms=terms, headroom=VOLUME_HEADROOM, settable=False)


def _fm_model_term(name: str, request: Request) -> Term:
    return Term(name, f"4 bytes * {request.parameters:,} parameters", 4.0 * request.parameters)


def _index_term(name: str, request: Request) -> Term:
    items, dimension = request.sizes.items, request.dimension
    return Term(
        name, f"4 bytes * {items:,} items * ({dimension} dimensions + 1 label)", 4.0 * items * (dimension + 1)
    )


def _hosted(work: Workload, request: Request) -> Workload:
    """An endpoint: without instances, or on as many as now where it scales, next to those that it updates."""
    serverless = Serverless.of(request.serving)
    if serverless is not None:
        notes = _replacement_notes(work.replaces)
        return replace(work, instance_count=0, replaces=None, serverless=serverless, notes=notes)
    work = replace(work, notes=_update_notes(work.replaces))
    scaling = Scaling.of(request.serving)
    if scaling is None:
        return work
    running = None if work.replaces is None else work.replaces.instance_count
    count = scaling.starting_at(work.instance_count, running)
    return replace(work, instance_count=count, scaling=scaling)


def _replacement_notes(replaces: Fleet | None) -> tuple[str, ...]:
    if replaces is None:
        return ()
    return (
        f"the endpoint is on {replaces.instance_count} x {replaces.instance_type}, and SageMaker can't make it "
        "serverless: it is deleted first, and answers again when the serverless one stands, some minutes later",
    )


def _update_notes(replaces: Fleet | None) -> tuple[str, ...]:
    if replaces is None:
        return ()
    return (
        f"the endpoint is updated: its {replaces.instance_count} x {replaces.instance_type} stay until the "
        "new instances serve, so the quota must have room for both",
    )


def _fm_tuning(request: Request) -> Workload:
    count = request.policy.instance_count("fm_tuning")
    alone = _fm_training(_with_count(request, count))
    parallel = request.parallel_jobs
    return replace(
        alone,
        step="fm_tuning",
        parallel_jobs=parallel,
        inputs={**alone.inputs, "maximum_jobs": request.maximum_jobs, "parallel_jobs": parallel},
        notes=(
            *alone.notes,
            f"{parallel} training jobs run at the same time, so {parallel} times the instances count against "
            "the quotas; num_factors can't be tuned, so each needs the memory of one training job",
        ),
    )


def _fm_trials(request: Request) -> Workload:
    count = request.policy.instance_count("fm_trials")
    factors = number(request.tuning, "most_factors", request.num_factors)
    largest = replace(
        request, hyperparameters={**request.hyperparameters, "num_factors": factors}, ensemble=1
    )
    alone = _fm_training(_with_count(largest, count))
    parallel = request.parallel_jobs
    return replace(
        alone,
        step="fm_trials",
        parallel_jobs=parallel,
        inputs={**alone.inputs, "maximum_jobs": request.maximum_jobs, "parallel_jobs": parallel},
        notes=(
            *alone.notes,
            f"up to {request.maximum_jobs} trials choose hyperparameters by ranking, {parallel} at the same time "
            f"where the quotas have room, in all at most as long as {TRAININGS:g} trainings; instances have the "
            f"memory for {factors} factors",
        ),
    )


def _with_count(request: Request, count: int) -> Request:
    counts = {**request.policy.instance_counts, "fm_training": count}
    return replace(request, policy=replace(request.policy, instance_counts=counts))


def _evaluation(request: Request) -> Workload:
    sizes, dimension = request.sizes, request.dimension
    count = request.policy.instance_count("evaluation")
    return Workload(
        step="evaluation",
        call="processing",
        instance_count=count,
        memory=memory.evaluation(
            users=sizes.users,
            items=sizes.items,
            dimension=dimension,
            interactions=sizes.rows + sizes.test_rows,
            safety_factor=request.policy.memory_safety_factor,
        ),
        volume=VolumeNeed(
            terms=(
                _fm_model_term("archive", request),
                _fm_model_term("model", request),
                Term("train rows", f"{sizes.train_bytes:,} bytes", sizes.train_bytes),
                Term("test rows", f"{sizes.test_bytes:,} bytes", sizes.test_bytes),
            ),
            headroom=VOLUME_HEADROOM,
            settable=True,
        ),
        inputs={
            "users": sizes.users,
            "items": sizes.items,
            "dimension": dimension,
            "interactions": sizes.rows + sizes.test_rows,
        },
    )


STEP_BUILDERS: dict[str, Callable[[Request], Workload]] = {
    "fm_training": _fm_training,
    "knn_training": _knn_training,
    "batch_transform": _batch_transform,
    "knn_endpoint": _knn_endpoint,
    "fm_transform": _fm_transform,
    "fm_endpoint": _fm_endpoint,
    "fm_tuning": _fm_tuning,
    "fm_trials": _fm_trials,
    "evaluation": _evaluation,
}
