"""The steps that need instances, each with its sizes worked out from the data and settings.

A step is one entry of ``STEP_BUILDERS``: a function from sizes, hyperparameters, serving
settings and policy to a ``Workload``. Adding a step is adding a function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fmrec.errors import SettingsError
from fmrec.instances import memory
from fmrec.instances.catalogue import Call
from fmrec.instances.memory import MemoryNeed, Term, VolumeNeed
from fmrec.instances.policy import Policy
from fmrec.manifest import Manifest

DEFAULT_NUM_FACTORS = 64
DEFAULT_MINI_BATCH_SIZE = 1000
DEFAULT_EPOCHS = 20
DEFAULT_NEIGHBOURS = 200
"""Neighbours asked for a user before the seen items are taken out, where settings don't say."""

VOLUME_HEADROOM = 1.2
SPOT_MAX_WAIT_SECONDS = 3600
"""MaxWaitTimeInSeconds of managed spot for algorithms that don't checkpoint."""

TEST_SHARE = 0.1


@dataclass(frozen=True)
class Sizes:
    """What the choice depends on, from a manifest or guessed before there is one."""

    rows: int
    users: int
    items: int
    feature_dim: int
    nnz_per_row: float
    train_bytes: int
    test_rows: int
    test_bytes: int
    train_parts: int | None = None
    """Objects in the train channel; None when nothing has been encoded yet."""

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> Sizes:
        return cls(
            rows=manifest.train.rows,
            users=manifest.users,
            items=manifest.items,
            feature_dim=manifest.feature_dim,
            nnz_per_row=manifest.nnz_per_row,
            train_bytes=manifest.train.bytes,
            test_rows=manifest.test.rows,
            test_bytes=manifest.test.bytes,
            train_parts=manifest.train.parts,
        )

    @classmethod
    def guess(
        cls,
        *,
        rows: int,
        users: int,
        items: int,
        feature_dim: int | None = None,
        nnz_per_row: float = 2.0,
    ) -> Sizes:
        """Work out what encoding ``rows`` interactions would write: a tenth of them for test.

        Raises
        ------
        SettingsError
            A size below one, or fewer columns than users and items.
        """
        for name, value in (("rows", rows), ("users", users), ("items", items)):
            if value < 1:
                raise SettingsError(f"{name} is {value}, expected at least 1")
        columns = users + items if feature_dim is None else feature_dim
        if columns < users + items:
            raise SettingsError(
                f"features is {columns:,}, but {users:,} users and {items:,} items alone take "
                f"{users + items:,} columns"
            )
        if not nnz_per_row >= 1:
            raise SettingsError(f"nnz per row is {nnz_per_row}, expected at least 1")
        record = memory.sparse_record_bytes(nnz_per_row, columns)
        test_rows = int(rows * TEST_SHARE)
        return cls(
            rows=rows - test_rows,
            users=users,
            items=items,
            feature_dim=columns,
            nnz_per_row=nnz_per_row,
            train_bytes=(rows - test_rows) * record,
            test_rows=test_rows,
            test_bytes=test_rows * record,
        )


@dataclass(frozen=True)
class Fleet:
    """Instances that an endpoint has now and keeps until the new ones serve."""

    instance_type: str
    instance_count: int


@dataclass(frozen=True)
class Workload:
    """One step's needs, independent of any account."""

    step: str
    call: Call
    instance_count: int
    memory: MemoryNeed
    volume: VolumeNeed
    inputs: Mapping[str, Any]
    """The numbers that the estimates start from, by name."""
    spot: bool = False
    replaces: Fleet | None = None
    impossible: str | None = None
    """Why no instance at all can do it as set, in words; None when one could."""
    notes: tuple[str, ...] = field(default=())


Builder = Callable[[Sizes, Mapping[str, Any], Mapping[str, Any], Policy], Workload]


def workload(
    step: str,
    sizes: Sizes,
    hyperparameters: Mapping[str, Any],
    serving: Mapping[str, Any],
    policy: Policy,
) -> Workload:
    """Build one step's workload.

    Raises
    ------
    SettingsError
        A hyperparameter or serving setting that isn't a number in range.
    """
    return STEP_BUILDERS[step](sizes, hyperparameters, serving, policy)


def number(settings: Mapping[str, Any], name: str, default: int) -> int:
    """Read a whole number of at least 1; SageMaker's hyperparameters arrive as strings."""
    value = settings.get(name)
    if value is None:
        return default
    try:
        parsed = float(value)
    except (TypeError, ValueError):
        parsed = math.nan
    if not (parsed >= 1 and parsed == int(parsed)):
        raise SettingsError(f"{name} is {value!r}, expected a whole number of at least 1")
    return int(parsed)


def neighbours_per_user(sizes: Sizes, serving: Mapping[str, Any]) -> int:
    """Return k of k-NN: never more than there are items."""
    wanted = number(serving, "neighbours", DEFAULT_NEIGHBOURS)
    return max(1, min(sizes.items, max(wanted, number(serving, "recommendations_per_user", 10))))


def _fm_training(
    sizes: Sizes, hyperparameters: Mapping[str, Any], _serving: Mapping[str, Any], policy: Policy
) -> Workload:
    count = policy.instance_count("fm_training")
    num_factors = number(hyperparameters, "num_factors", DEFAULT_NUM_FACTORS)
    mini_batch_size = number(hyperparameters, "mini_batch_size", DEFAULT_MINI_BATCH_SIZE)
    sharded = policy.data_distribution == "ShardedByS3Key" and count > 1
    impossible = None
    if sharded and sizes.train_parts is not None and sizes.train_parts < count:
        impossible = (
            f"{count} instances but {sizes.train_parts} train parts: with ShardedByS3Key each instance "
            f"needs a part of its own; encode into at least {count} parts or lower the instance count"
        )
    artifact = Term(
        "artifact",
        f"4 bytes * {memory.fm_parameters(sizes.feature_dim, num_factors):,} parameters",
        4.0 * memory.fm_parameters(sizes.feature_dim, num_factors),
    )
    return Workload(
        step="fm_training",
        call="training",
        instance_count=count,
        memory=memory.fm_training(
            feature_dim=sizes.feature_dim,
            num_factors=num_factors,
            mini_batch_size=mini_batch_size,
            nnz_per_row=sizes.nnz_per_row,
            instance_count=count,
            safety_factor=policy.memory_safety_factor,
        ),
        volume=VolumeNeed(
            terms=(*_channel_terms(sizes, count, sharded, policy), artifact),
            headroom=VOLUME_HEADROOM,
            settable=True,
        ),
        inputs={
            "feature_dim": sizes.feature_dim,
            "num_factors": num_factors,
            "mini_batch_size": mini_batch_size,
            "nnz_per_row": sizes.nnz_per_row,
            "train_rows": sizes.rows,
            "train_bytes": sizes.train_bytes,
            "train_parts": sizes.train_parts,
            "test_bytes": sizes.test_bytes,
            "instance_count": count,
            "input_mode": policy.input_mode,
            "data_distribution": policy.data_distribution,
            "spot": policy.spot_training,
        },
        spot=policy.spot_training,
        impossible=impossible,
        notes=(*_input_notes(policy, count), *_spot_notes(policy)),
    )


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


def _knn_training(
    sizes: Sizes, hyperparameters: Mapping[str, Any], _serving: Mapping[str, Any], policy: Policy
) -> Workload:
    count = policy.instance_count("knn_training")
    dimension = _dimension(hyperparameters)
    channel = sizes.items * memory.dense_record_bytes(dimension)
    return Workload(
        step="knn_training",
        call="training",
        instance_count=count,
        memory=memory.knn_training(points=sizes.items, dimension=dimension, instance_count=count),
        volume=VolumeNeed(
            terms=(
                Term(
                    "train channel",
                    f"{sizes.items:,} records * {memory.dense_record_bytes(dimension)} bytes",
                    channel,
                ),
                _index_term(sizes, dimension),
            ),
            headroom=VOLUME_HEADROOM,
            settable=True,
        ),
        inputs={
            "items": sizes.items,
            "dimension": dimension,
            "sample_size": sizes.items,
            "index_type": "faiss.Flat",
            "instance_count": count,
            "spot": policy.spot_training,
        },
        spot=policy.spot_training,
        notes=tuple(_spot_notes(policy)),
    )


def _batch_transform(
    sizes: Sizes, hyperparameters: Mapping[str, Any], serving: Mapping[str, Any], policy: Policy
) -> Workload:
    count = policy.instance_count("batch_transform")
    return _knn_serving_workload(
        "batch_transform",
        "transform",
        count,
        sizes,
        hyperparameters,
        serving,
        policy,
        notes=(f"{count} instances are busy only if there are as many query parts",) if count > 1 else (),
    )


def _knn_endpoint(
    sizes: Sizes, hyperparameters: Mapping[str, Any], serving: Mapping[str, Any], policy: Policy
) -> Workload:
    return _knn_serving_workload(
        "knn_endpoint",
        "hosting",
        policy.instance_count("knn_endpoint"),
        sizes,
        hyperparameters,
        serving,
        policy,
        replaces=_fleet(serving, "knn_endpoint"),
    )


def _knn_serving_workload(
    step: str,
    call: Call,
    count: int,
    sizes: Sizes,
    hyperparameters: Mapping[str, Any],
    serving: Mapping[str, Any],
    policy: Policy,
    *,
    replaces: Fleet | None = None,
    notes: tuple[str, ...] = (),
) -> Workload:
    dimension = _dimension(hyperparameters)
    neighbours = neighbours_per_user(sizes, serving)
    records = memory.records_per_payload(dimension)
    return Workload(
        step=step,
        call=call,
        instance_count=count,
        memory=memory.knn_serving(
            points=sizes.items,
            dimension=dimension,
            neighbours=neighbours,
            records_per_request=records,
            safety_factor=policy.memory_safety_factor,
        ),
        volume=_model_volume(_index_term(sizes, dimension)),
        inputs={
            "items": sizes.items,
            "users": sizes.users,
            "dimension": dimension,
            "neighbours": neighbours,
            "records_per_request": records,
            "instance_count": count,
        },
        replaces=replaces,
        notes=(*notes, *_update_notes(replaces)),
    )


def _fm_endpoint(
    sizes: Sizes, hyperparameters: Mapping[str, Any], serving: Mapping[str, Any], policy: Policy
) -> Workload:
    num_factors = number(hyperparameters, "num_factors", DEFAULT_NUM_FACTORS)
    parameters = memory.fm_parameters(sizes.feature_dim, num_factors)
    replaces = _fleet(serving, "fm_endpoint")
    return Workload(
        step="fm_endpoint",
        call="hosting",
        instance_count=policy.instance_count("fm_endpoint"),
        memory=memory.fm_serving(
            feature_dim=sizes.feature_dim,
            num_factors=num_factors,
            safety_factor=policy.memory_safety_factor,
        ),
        volume=_model_volume(Term("model", f"4 bytes * {parameters:,} parameters", 4.0 * parameters)),
        inputs={
            "feature_dim": sizes.feature_dim,
            "num_factors": num_factors,
            "instance_count": policy.instance_count("fm_endpoint"),
        },
        replaces=replaces,
        notes=_update_notes(replaces),
    )


def _model_volume(model: Term) -> VolumeNeed:
    archive = Term("archive", f"model.tar.gz, at worst as large: {model.formula}", model.bytes)
    return VolumeNeed(terms=(archive, model), headroom=VOLUME_HEADROOM, settable=False)


def _index_term(sizes: Sizes, dimension: int) -> Term:
    return Term(
        "index",
        f"4 bytes * {sizes.items:,} items * ({dimension} dimensions + 1 label)",
        4.0 * sizes.items * (dimension + 1),
    )


def _dimension(hyperparameters: Mapping[str, Any]) -> int:
    # The item vector is [V_i, w_i]: the factors and the linear weight.
    return number(hyperparameters, "num_factors", DEFAULT_NUM_FACTORS) + 1


def _fleet(serving: Mapping[str, Any], step: str) -> Fleet | None:
    found = (serving.get("replaces") or {}).get(step)
    if not found:
        return None
    return Fleet(str(found["instance_type"]), number(found, "instance_count", 1))


def _update_notes(replaces: Fleet | None) -> tuple[str, ...]:
    if replaces is None:
        return ()
    return (
        f"the endpoint is updated: its {replaces.instance_count} x {replaces.instance_type} stay until the "
        "new instances serve, so the quota must have room for both",
    )


STEP_BUILDERS: dict[str, Builder] = {
    "fm_training": _fm_training,
    "knn_training": _knn_training,
    "batch_transform": _batch_transform,
    "knn_endpoint": _knn_endpoint,
    "fm_endpoint": _fm_endpoint,
}
