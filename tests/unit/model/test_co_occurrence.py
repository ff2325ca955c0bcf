"""Co-occurrence's vectors against a dense singular value decomposition, and in the exported index."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fmrec.artifacts.encoded_run import EncodedRun
from fmrec.artifacts.interactions import Interactions, from_pairs
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.model import co_occurrence
from fmrec.model.co_occurrence import learn, learn_from, spread
from fmrec.model.embeddings import export
from fmrec.model.ensemble import Ensemble
from fmrec.model.factorization_machine import FactorizationMachine
from tests.unit.model.test_embeddings import read_parts

USERS, ITEMS = 40, 12
NOBODY, UNPICKED = 7, 5


@pytest.fixture
def picks() -> Interactions:
    """User 7 has picked nothing, and nobody item 5."""
    picked = np.random.default_rng(3).random((USERS, ITEMS)) < np.linspace(0.1, 0.6, ITEMS)
    picked[NOBODY], picked[:, UNPICKED] = False, False
    users, items = np.nonzero(picked)
    return from_pairs(users, items, USERS)


@dataclass
class Encoded:
    """What is read of an encoded run."""

    picks: Interactions
    out: list[int] = field(default_factory=list)
    train_rows: int = 100

    @property
    def manifest(self) -> Manifest:
        return Manifest(
            run="r1",
            created="2026-11-21T00:00:00Z",
            dataset={},
            feature_dim=USERS + ITEMS,
            nnz_per_row=2.0,
            users=USERS,
            items=ITEMS,
            ranges={"user": (0, USERS), "item": (USERS, USERS + ITEMS)},
            rows=Rows(read=0, encoded=0, train=self.train_rows, test=0),
            train=Channel("train/", 0, 0, 0, None),
            test=Channel("test/", 0, 0, 0, None),
        )

    def liked(self, first: int, end: int) -> Interactions:
        return self.picks.take(np.arange(first, end))

    def left_out(self, first: int, end: int) -> Any:
        return np.array([user for user in self.out if first <= user < end], np.int64)


def run(picks: Interactions, **changes: Any) -> EncodedRun:
    return cast(EncodedRun, Encoded(picks, **changes))


def normalised(picks: Interactions) -> Any:
    dense = np.zeros((picks.users, ITEMS))
    dense[np.repeat(np.arange(picks.users), picks.counts()), picks.items] = 1
    of_users, of_items = (np.maximum(dense.sum(axis=axis), 1) ** -0.25 for axis in (1, 0))
    return of_users[:, None] * dense * of_items


def machine(num_factors: int, seed: int = 1) -> FactorizationMachine:
    generator = np.random.default_rng(seed)
    return FactorizationMachine(
        0.5,
        generator.standard_normal(USERS + ITEMS).astype(np.float32),
        generator.standard_normal((USERS + ITEMS, num_factors)).astype(np.float32),
        "binary_classifier",
    )


def test_scores_are_the_picks_times_the_root_of_their_gram_matrix(picks: Interactions) -> None:
    x = normalised(picks)
    values, vectors = np.linalg.eigh(x.T @ x)
    singular = np.sqrt(np.maximum(values, 0))

    found = learn([picks], ITEMS, ITEMS)

    assert found is not None
    expected = x @ (vectors * singular) @ vectors.T / singular.max()
    assert found.users(picks) @ found.items.T == pytest.approx(expected, abs=1e-4)
    assert not found.users(picks)[NOBODY].any()
    assert found.items[UNPICKED] == pytest.approx(0, abs=1e-6)


def test_fewer_dimensions_keep_the_highest_singular_values(picks: Interactions) -> None:
    x = normalised(picks)
    _, singular, vectors = np.linalg.svd(x, full_matrices=False)

    found = learn([picks], ITEMS, 8)

    assert found is not None
    assert found.factors == 8
    ours = np.linalg.norm(found.items, axis=0) ** 2 * singular[0]
    assert ours[:3] == pytest.approx(singular[:3], rel=0.01)
    first = found.items[:, 0] / np.linalg.norm(found.items[:, 0])
    assert abs(first @ vectors[0]) == pytest.approx(1, abs=1e-4)


def test_blocks_of_users_don_t_matter(picks: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learn([picks], ITEMS, 8)
    monkeypatch.setattr(co_occurrence, "FLOATS_AT_ONCE", 24)
    parts = learn([picks.take(np.arange(15)), picks.take(np.arange(15, USERS))], ITEMS, 8)

    assert whole is not None
    assert parts is not None
    scores = whole.users(picks) @ whole.items.T
    assert parts.users(picks) @ parts.items.T == pytest.approx(scores, abs=1e-4)


def test_without_picks_there_is_nothing() -> None:
    empty = from_pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), 3)

    assert learn([empty], ITEMS, 8) is None
    assert learn([], ITEMS, 8) is None


def test_users_left_out_of_training_say_nothing(picks: Interactions) -> None:
    others = np.setdiff1d(np.arange(USERS), [0, 20])

    found = learn_from(run(picks, out=[0, 20]), 8)
    expected = learn([picks.take(others)], ITEMS, 8)

    assert found is not None
    assert expected is not None
    assert found.items == pytest.approx(expected.items, abs=1e-5)


def test_of_many_interactions_a_sample_of_users_says_what_goes_with_what(
    picks: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def learned(blocks: Any, items: int, factors: int) -> None:
        read.extend(block.users for block in blocks)

    monkeypatch.setattr(co_occurrence, "learn", learned)
    monkeypatch.setattr(co_occurrence, "MAXIMUM_PICKS", 50)
    monkeypatch.setattr(co_occurrence, "USERS_AT_ONCE", 16)
    learn_from(run(picks, train_rows=100), 8)

    assert len(read) == 3
    assert 10 <= sum(read) <= 30


def test_a_spread_is_the_deviation_over_items(picks: Interactions) -> None:
    generator = np.random.default_rng(4)
    queries, items = generator.standard_normal((5, 3)), generator.standard_normal((9, 3))

    assert spread(queries, items) == pytest.approx(np.sqrt((queries @ items.T).var(axis=1).mean()))


@pytest.mark.parametrize("models", [1, 2])
def test_the_index_has_further_dimensions_whose_scores_spread_by_the_weight(
    picks: Interactions, tmp_path: Path, models: int
) -> None:
    model = Ensemble([machine(8, seed) for seed in range(models)])
    encoded = run(picks)

    document = export(model, encoded.manifest, str(tmp_path), picks=encoded, co_occurrence=0.25)

    assert document["co_occurrence"] == {
        "weight": 0.25,
        "factors": 8,
        "pick_weights_key": "pick_weights.npy",
    }
    assert document["machine_factors"] == [8] * models
    assert document["dim"] == 8 * models + 8 + 1
    assert json.loads((tmp_path / "embeddings.json").read_text()) == document
    items, _ = read_parts(str(tmp_path), document["item_parts"])
    queries, _ = read_parts(str(tmp_path), document["query_parts"])
    own_queries, _ = model.parameters(0, USERS)
    own_items, weights = model.parameters(USERS, USERS + ITEMS)
    own = own_queries @ own_items.T + weights
    added = queries @ items.T - own
    found = learn([picks], ITEMS, 8)
    assert found is not None
    assert np.array_equal(np.load(tmp_path / "pick_weights.npy"), found.pick_weights)
    expected = found.users(picks) @ found.items.T
    factor = 0.25 * np.sqrt(own.var(axis=1).mean() / expected.var(axis=1).mean())
    assert added == pytest.approx(factor * expected, abs=1e-4)


def test_the_models_of_an_ensemble_learn_once_together(
    picks: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []

    def learn_and_count(run: EncodedRun, factors: int) -> Any:
        learned.append(factors)
        return learn_from(run, factors)

    monkeypatch.setattr("fmrec.model.embeddings.learn_from", learn_and_count)
    encoded = run(picks)
    three = Ensemble([machine(8, seed) for seed in range(3)])
    export(three, encoded.manifest, str(tmp_path), picks=encoded, co_occurrence=0.3)

    assert learned == [8]


@pytest.mark.parametrize(("weight", "factors"), [(0.0, 8), (0.3, 4)])
def test_the_index_is_the_model_s_alone_without_weight_or_with_few_factors(
    picks: Interactions, tmp_path: Path, weight: float, factors: int
) -> None:
    encoded = run(picks)

    document = export(machine(factors), encoded.manifest, str(tmp_path), picks=encoded, co_occurrence=weight)

    assert document["co_occurrence"] is None
    assert document["dim"] == factors + 1


def test_a_model_without_trained_users_is_exported_alone(picks: Interactions, tmp_path: Path) -> None:
    nobody = run(replace(picks, indptr=np.zeros_like(picks.indptr), items=picks.items[:0]))

    assert (
        export(machine(8), nobody.manifest, str(tmp_path), picks=nobody, co_occurrence=1)["co_occurrence"]
        is None
    )
