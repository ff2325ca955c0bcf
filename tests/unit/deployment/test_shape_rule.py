"""Defaults by the data's shape: what they are where they were measured, and how they follow the counts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.artifacts.manifest import Channel
from fmrec.dataset.labels import BinaryLabel, ImplicitLabel
from fmrec.deployment import hyperparameters
from fmrec.deployment.shape_rule import (
    Sampling,
    Shape,
    choose,
    sampling,
    sampling_behind,
    weight_decay,
)
from fmrec.deployment.shape_rule import hyperparameters as by_shape
from tests.fixtures.manifests import manifest

MOVIELENS = Shape(52_529, 943, 1682, 8, 8)
REVIEWS = Shape(237_022, 8485, 8442, 8, 8)
GIVEN = {"predictor_type": "binary_classifier"}
counts = st.integers(1, 10**12)


def test_each_shape_gets_what_was_measured_for_it() -> None:
    assert by_shape(MOVIELENS) == {
        "num_factors": "64",
        "epochs": "3",
        "mini_batch_size": "1000",
        "linear_lr": "0.003",
        "factors_lr": "0.003",
        "linear_wd": "2.9e-05",
        "factors_wd": "2.9e-05",
    }
    assert by_shape(REVIEWS) == {
        **by_shape(MOVIELENS),
        "num_factors": "128",
        "linear_wd": "2.2e-05",
        "factors_wd": "2.2e-05",
    }


def test_a_sparse_large_catalogue_gets_more_factors_than_a_dense_or_small_one() -> None:
    assert by_shape(Shape(24_286, 6000, 5000, 8, 8))["num_factors"] == "256"
    assert by_shape(REVIEWS)["num_factors"] == "128"
    assert by_shape(Shape(11_933, 943, 1682, 8, 8))["num_factors"] == "64"


def test_decay_falls_with_more_picks_per_id_and_keeps_up_with_mini_batches_and_negatives() -> None:
    decay = weight_decay(REVIEWS)
    assert weight_decay(Shape(60_000, 8485, 8442, 8, 8)) == pytest.approx(decay * (237_022 / 60_000) ** 0.375)
    # From where there are enough picks per id, more of them change nothing.
    dense = Shape(10**6, 2000, 1500, 8, 8)
    assert weight_decay(dense) == weight_decay(Shape(10**8, 2000, 1500, 8, 8))
    assert weight_decay(dense) == pytest.approx(2.6e-5, rel=0.03)
    # Ids that hardly ever meet in a mini-batch: half of it, or half of the rows per pick, twice the decay.
    sparse = Shape(2_000_000, 900_000, 900_000, 7, 6)
    assert weight_decay(sparse, 500) == pytest.approx(2 * weight_decay(sparse), rel=1e-3)
    few = Shape(2_000_000, 900_000, 900_000, 3, 6)
    assert weight_decay(few) == pytest.approx(2 * weight_decay(sparse))


@given(counts, counts, counts, st.integers(0, 1000), st.integers(1, 100), st.integers(1, 10**15))
def test_any_counts_give_what_the_algorithm_takes(
    picks: int, users: int, items: int, negatives: int, copies: int, mini_batch_size: int
) -> None:
    shape = Shape(picks, users, items, negatives, copies)
    chosen = choose(GIVEN | {"mini_batch_size": mini_batch_size}, shape, "recommend")
    assert chosen is not None
    resolved = hyperparameters.resolve(GIVEN, chosen["hyperparameters"])
    assert 0 < float(resolved["factors_wd"]) < 512
    assert 1 <= int(resolved["epochs"]) <= 24


def test_what_is_given_stays_and_only_lists_are_filled_in() -> None:
    chosen = choose({**GIVEN, "epochs": "9", "factors_wd": "0"}, MOVIELENS, "recommend")
    assert chosen is not None
    assert chosen["shape"]["picks"] == 52_529
    assert set(chosen["hyperparameters"]) == set(by_shape(MOVIELENS)) - {"epochs", "factors_wd"}
    assert choose({**GIVEN, **by_shape(MOVIELENS)}, MOVIELENS, "recommend") is None
    assert choose(GIVEN, MOVIELENS, "predict-rating") is None
    assert choose({"predictor_type": "regressor"}, MOVIELENS, "recommend") is None


def test_larger_data_has_fewer_copies_and_as_many_passes() -> None:
    assert sampling(90_000) == Sampling(8, 8)
    assert sampling(1_000_000) == Sampling(8, 4)
    assert sampling(20_000_000) == Sampling(8, 2)
    assert by_shape(Shape(10**6, 10**5, 10**4, 8, 2))["epochs"] == "12"


def test_what_is_not_written_of_long_histories_is_made_up_for_by_epochs() -> None:
    assert by_shape(Shape(30_000, 943, 1682, 8, 8, 0.57))["epochs"] == "5"
    assert by_shape(Shape(30_000, 943, 1682, 8, 2, 0.75))["epochs"] == "16"
    assert by_shape(Shape(10, 943, 1682, 8, 1, 0.01))["epochs"] == "24"


@pytest.mark.parametrize("interactions", [1, 90_000, 500_000, 20_000_000])
def test_sampling_is_found_from_the_rows_it_made(interactions: int) -> None:
    auto = ImplicitLabel(auto=frozenset({"negatives_per_positive", "copies"}))
    made = sampling(interactions)
    rows = interactions * made.copies * (1 + made.negatives_per_positive)
    assert sampling_behind(auto, rows) == made
    assert sampling_behind(ImplicitLabel(negatives_per_positive=3, copies=5), rows) == Sampling(3, 5)
    assert sampling_behind(BinaryLabel(), rows) == Sampling(0, 1)


def test_the_shape_of_an_encoding_counts_each_pick_once() -> None:
    def encoded(share: float | None, rows: int, thinned: int = 0, **label: Any) -> Shape:
        found = manifest("r", users=9, items=5, label=label)
        channel = Channel("train/", rows, 1, 1600, share)
        details = {"thinned": {"train": thinned}} if thinned else {}
        return Shape.of(type(found)(**{**vars(found), "train": channel, "details": details}))

    implicit: dict[str, Any] = {"mode": "implicit", "negatives_per_positive": 4, "copies": 3, "models": 2}
    assert encoded(0.2, 20 * 5 * 3 * 2, **implicit) == Shape(20, 9, 5, 4, 3)
    assert encoded(0.2, 20 * 5 * 3 * 2, 40, **implicit) == Shape(20, 9, 5, 4, 3, 0.75)
    assert encoded(0.5, 30, mode="binary") == Shape(30, 9, 5, 0, 1)
    assert encoded(None, 30, mode="regression") == Shape(30, 9, 5, 0, 1)
