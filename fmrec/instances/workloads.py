"""What a step is given and what it needs: sizes and settings in, a ``Workload`` out.

``step_workloads`` builds the one from the other; ``chooser`` looks at the workload alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fmrec.artifacts.manifest import Manifest
from fmrec.deployment.defaults import SERVING, TASKS, TUNING
from fmrec.deployment.hyperparameters import HYPERPARAMETERS
from fmrec.deployment.shape_rule import co_occurrence_factors
from fmrec.errors import SettingsError
from fmrec.instances import memory
from fmrec.instances.catalogue import Call
from fmrec.instances.memory import MemoryNeed, VolumeNeed
from fmrec.instances.policy import Policy
from fmrec.instances.quotas import Fleet
from fmrec.instances.scaling import Scaling
from fmrec.instances.serverless import Serverless
from fmrec.recommendations.neighbours import neighbours_to_ask

DEFAULT_NUM_FACTORS: int = TASKS["predict-rating"]["hyperparameters"]["num_factors"]
"""Of a request that names none; a deployment's always does, or the data's shape."""
DEFAULT_MINI_BATCH_SIZE, DEFAULT_EPOCHS = (
    int(HYPERPARAMETERS[name].default or 1) for name in ("mini_batch_size", "epochs")
)
"""The algorithm's own: a training job whose hyperparameters name none uses these."""
DEFAULT_TUNING_JOBS: int = TUNING["maximum_jobs"]
DEFAULT_RECOMMENDATIONS: int = SERVING["recommendations_per_user"]

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
    interactions: int | None = None
    """Rows that are interactions' own, and no sampled negatives or copies; None means all of them."""
    models: int = 1
    """For how many models there are training rows; rows, bytes and parts are those of one."""

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> Sizes:
        models = int(manifest.dataset.get("label", {}).get("models", 1))
        return cls(
            rows=manifest.train.rows // models,
            users=manifest.users,
            items=manifest.items,
            feature_dim=manifest.feature_dim,
            nnz_per_row=manifest.nnz_per_row,
            train_bytes=manifest.train.bytes // models,
            test_rows=manifest.test.rows,
            test_bytes=manifest.test.bytes,
            train_parts=manifest.train.parts // models,
            interactions=manifest.rows.train,
            models=models,
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
        rows_per_interaction: int = 1,
    ) -> Sizes:
        """Work out what encoding into ``rows`` records would write: a tenth of them for test.

        ``rows_per_interaction``: the copies of an interaction and the negatives sampled for it.

        Raises
        ------
        SettingsError
            A size below one, or fewer columns than users and items.
        """
        for name, value in (("rows", rows), ("users", users), ("items", items)):
            if not 1 <= value <= MAXIMUM_SIZE:
                raise SettingsError(
                    f"{name} is {str(value)[:40]}, expected at least 1 and at most {MAXIMUM_SIZE:,}"
                )
        columns = users + items if feature_dim is None else feature_dim
        if columns < users + items:
            raise SettingsError(
                f"features is {columns:,}, but {users:,} users and {items:,} items alone take "
                f"{users + items:,} columns"
            )
        if columns > MAXIMUM_SIZE:
            raise SettingsError(f"features is {str(columns)[:40]}, expected at most {MAXIMUM_SIZE:,}")
        if not 1 <= nnz_per_row <= columns:
            raise SettingsError(
                f"nonzeros is {nnz_per_row}, expected at least 1 and at most the {columns:,} columns"
            )
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
            interactions=math.ceil((rows - test_rows) / rows_per_interaction),
        )


MAXIMUM_SIZE = 10**15
"""Beyond any data set; sums and products stay in 64 bits and in float64."""


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
    parallel_jobs: int = 1
    """Jobs of ``instance_count`` instances each that run at the same time."""
    replaces: Fleet | None = None
    scaling: Scaling | None = None
    """Of an endpoint whose number of instances follows its calls."""
    serverless: Serverless | None = None
    """Of an endpoint without instances."""
    impossible: str | None = None
    """Why no instance at all can do it as set, in words; None when one could."""
    notes: tuple[str, ...] = field(default=())

    @property
    def instances(self) -> int:
        """Instances at the same time, which is what quotas and the hourly price count."""
        return self.instance_count * self.parallel_jobs


@dataclass(frozen=True)
class Glue:
    """What an encoding job may have, one worker for the driver."""

    worker_type: str = "G.1X"
    workers: int = 3

    @property
    def units(self) -> int:
        """Data processing units of 4 vCPUs that a worker has."""
        return int(self.worker_type[2:-1])

    @property
    def more_memory(self) -> bool:
        """Whether its units have twice the memory, at a rate of their own."""
        return self.worker_type.startswith("R")


@dataclass(frozen=True)
class Request:
    """What a run is asked to do: data sizes, SageMaker's hyperparameters, serving, policy.

    ``tuning`` has ``maximum_jobs`` and ``parallel_jobs`` of hyperparameter tuning, and ``most_factors`` where
    that is by ranking. ``fleets``:
    step → what the endpoint that it updates runs on now. ``ensemble``: models that are trained for one index.
    """

    sizes: Sizes
    hyperparameters: Mapping[str, Any]
    serving: Mapping[str, Any]
    policy: Policy
    tuning: Mapping[str, Any] = field(default_factory=dict)
    fleets: Mapping[str, Fleet] = field(default_factory=dict)
    ensemble: int = 1
    glue: Glue = Glue()

    @property
    def maximum_jobs(self) -> int:
        return number(self.tuning, "maximum_jobs", DEFAULT_TUNING_JOBS)

    @property
    def parallel_jobs(self) -> int:
        """Training jobs of a tuning job that run at the same time."""
        return min(self.maximum_jobs, number(self.tuning, "parallel_jobs", 1))

    @property
    def num_factors(self) -> int:
        return number(self.hyperparameters, "num_factors", DEFAULT_NUM_FACTORS)

    @property
    def dimension(self) -> int:
        """Length of an item vector ``[V_i, w_i]``: the factors of every model, those of co-occurrence and the
        linear weight.
        """
        wanted = self.serving.get("co_occurrence")
        further = co_occurrence_factors(self.sizes.items, self.num_factors) if wanted else 0
        return self.ensemble * self.num_factors + further + 1

    @property
    def parameters(self) -> int:
        return memory.fm_parameters(self.sizes.feature_dim, self.num_factors)

    @property
    def neighbours(self) -> int:
        """The k of k-NN: never more than there are items, never fewer than are recommended.

        Where nobody says how many, it depends on how much users have met.
        """
        per_user = number(self.serving, "recommendations_per_user", DEFAULT_RECOMMENDATIONS)
        usual = neighbours_to_ask(
            train_rows=self.sizes.rows if self.sizes.interactions is None else self.sizes.interactions,
            users=self.sizes.users,
            items=self.sizes.items,
            per_user=per_user,
        )
        return max(1, min(self.sizes.items, max(number(self.serving, "neighbours", usual), per_user)))


def number(settings: Mapping[str, Any], name: str, default: int) -> int:
    """Read an integer of at least 1; SageMaker's hyperparameters arrive as strings."""
    value = settings.get(name)
    if value is None:
        return default
    try:
        parsed = float(value)
    except (TypeError, ValueError, OverflowError):
        parsed = math.nan
    if not (1 <= parsed <= MAXIMUM_SIZE and parsed == int(parsed)):
        raise SettingsError(f"{name} is {value!r}, expected an integer of at least 1")
    return int(parsed)
