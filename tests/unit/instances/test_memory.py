"""The estimates, each reckoned again by hand from the formula that it cites."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.sparse

from fmrec import recordio
from fmrec.instances import memory
from fmrec.instances.catalogue import table_prices
from fmrec.instances.policy import Policy
from fmrec.instances.quota_check import against_account
from fmrec.instances.quotas import Account
from fmrec.instances.step_workloads import workload
from fmrec.instances.workloads import Request, Sizes

GIB = 2**30


@pytest.mark.parametrize(
    ("feature_dim", "num_factors", "gib"),
    [(100_000, 64, 0.0969), (1_000_000, 64, 0.969), (10_000_000, 64, 9.69), (10_000_000, 256, 38.3)],
)
def test_weights_gradient_and_two_states_are_four_dense_arrays(
    feature_dim: int, num_factors: int, gib: float
) -> None:
    need = memory.fm_training(
        feature_dim=feature_dim,
        num_factors=num_factors,
        mini_batch_size=1000,
        nnz_per_row=2,
        instance_count=1,
        safety_factor=1.5,
    )
    assert need.uncertain[0].bytes / GIB == pytest.approx(gib, rel=2e-3)


def test_several_hosts_hold_a_second_copy() -> None:
    def gib(instance_count: int) -> float:
        return memory.fm_training(
            feature_dim=10_000_000,
            num_factors=64,
            mini_batch_size=1000,
            nnz_per_row=2,
            instance_count=instance_count,
            safety_factor=1.0,
        ).gib_with(4)

    assert gib(2) - gib(1) == pytest.approx(16 * (10_000_000 * 65 + 1) / GIB)
    assert gib(4) == gib(2)


def test_knn_training_peaks_at_three_times_the_points_of_one_host() -> None:
    need = memory.knn_training(points=4_000_001, dimension=65, instance_count=2)
    by_hand = 3 * 4 * 2_000_001 * 65 + 3 * 4 * 2_000_001 + 2 * GIB
    assert need.bytes_with(2) == need.bytes_with(96) == by_hand


def test_serving_holds_one_index_for_each_worker() -> None:
    need = memory.knn_serving(
        points=1_000_000, dimension=65, neighbours=100, records_per_request=1000, safety_factor=1.5
    )
    one = 4 * 1_000_000 * 66 + 2 * 6 * 2**20 + 1000 * 100 * 30
    for vcpu in (2, 4, 48):
        assert need.bytes_with(vcpu) == pytest.approx(1.5 * vcpu * one + 2 * GIB)


def test_a_model_larger_than_a_transforms_disk_is_refused_for_it() -> None:
    request = Request(
        Sizes.guess(rows=10, users=10, items=60_000_000),
        {"num_factors": 64},
        {},
        Policy(memory_safety_factor=1),
    )
    needed = 2 * 4 * 60_000_000 * 66 * 1.2 / 1e9
    assert workload("batch_transform", request).volume.size_gb == pytest.approx(needed, abs=1)
    assert (
        workload("batch_transform", request).volume.size_gb
        > workload("batch_transform", request).volume.limit_gb
    )
    assert workload("fm_endpoint", request).volume.size_gb == pytest.approx(
        2 * 4 * 60_000_010 * 65 * 1.2 / 1e9, abs=1
    )


@pytest.mark.parametrize(("nnz", "feature_dim"), [(2, 2625), (1, 100), (2, 225_000), (20, 1_000_000)])
def test_a_sparse_record_takes_about_the_bytes_that_the_codec_writes(nnz: int, feature_dim: int) -> None:
    rows = 200
    generator = np.random.default_rng(0)
    columns = np.concatenate([generator.choice(feature_dim, nnz, replace=False) for _ in range(rows)])
    values = np.ones(rows * nnz, dtype=np.float32)
    matrix = scipy.sparse.csr_matrix(
        (values, columns, np.arange(0, rows * nnz + 1, nnz)), shape=(rows, feature_dim)
    )
    file = io.BytesIO()
    recordio.write_spmatrix_to_sparse_tensor(file, matrix, np.ones(rows, dtype=np.float32))
    assert memory.sparse_record_bytes(nnz, feature_dim) == pytest.approx(
        len(file.getvalue()) / rows, rel=0.03
    )


def test_a_dense_record_takes_the_bytes_that_the_codec_writes() -> None:
    file = io.BytesIO()
    recordio.write_numpy_to_dense_tensor(
        file, np.ones((10, 65), dtype=np.float32), np.ones(10, dtype=np.float32)
    )
    assert memory.dense_record_bytes(65) == len(file.getvalue()) / 10


def test_use_counts_where_needs_are_held_against_the_account() -> None:
    request = Request(Sizes.guess(rows=1000, users=100, items=100), {}, {"endpoint": False}, Policy())
    quota = "ml.m5.large for training job usage"
    (need, *_) = [
        n
        for n in against_account(request, Account({quota: 1}, {quota: 1}), table_prices())
        if n.quota == quota
    ]
    assert (need.applied, need.used, need.enough) == (1, 1, False)
    assert need.increase is not None
    assert need.increase.desired == 2
