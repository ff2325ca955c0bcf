"""Folding users into an index of several blocks: the machines of an ensemble, and co-occurrence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fmrec.errors import InputError
from fmrec.live import FoldIn
from fmrec.live.promising_items import PromisingItems
from tests.unit.live.test_fold_in import REGULARIZATION, WEIGHT, catalogue, histories, packed

Floats = npt.NDArray[np.float32]
FACTORS = 12


class Index:
    """Some machines' items next to each other, and co-occurrence."""

    def __init__(self, items: int, machines: int) -> None:
        random = np.random.default_rng(21)
        self.own = [catalogue(items, FACTORS, seed)[0] for seed in range(machines)]
        self.offsets = catalogue(items, 1)[1]
        self.together: Floats = (random.normal(size=(items, 5)) * 0.3).astype(np.float32)
        self.pick_weights: Floats = random.integers(1, 500, items).astype(np.float32) ** -0.25
        divided = [vectors / np.float32(np.sqrt(machines)) for vectors in self.own]
        self.fold_in = FoldIn(
            np.hstack([*divided, self.together]),
            self.offsets,
            REGULARIZATION,
            WEIGHT,
            machines=[FACTORS] * machines,
            pick_weights=self.pick_weights,
        )

    def alone(self, machine: int) -> FoldIn:
        return FoldIn(self.own[machine], self.offsets, REGULARIZATION, WEIGHT)


@pytest.fixture(params=[1, 3])
def index(request: pytest.FixtureRequest) -> Index:
    return Index(700, request.param)


def test_a_user_is_folded_into_each_machine_as_if_it_were_alone(index: Index) -> None:
    count = len(index.own)
    for one in histories(700, 10):
        vector = index.fold_in.user_vector(one, tolerance=1e-6)
        for number in range(count):
            block = vector[number * FACTORS : (number + 1) * FACTORS]
            alone = index.alone(number).user_vector(one, tolerance=1e-6)
            assert np.abs(block * np.sqrt(count) - alone).max() < 1e-4


def test_the_last_block_is_the_weighed_sum_of_what_was_picked(index: Index) -> None:
    weights = np.array([2.0, 0.5, 1.0])
    vector = index.fold_in.user_vector([9, 400, 17], weights)
    own = index.pick_weights[[9, 400, 17]] * weights
    expected = 3.5**-0.25 * own @ index.together[[9, 400, 17]]
    assert np.abs(vector[-5:] - expected).max() < 1e-5
    assert not index.fold_in.user_vector([9], [0.0])[-5:].any()


def test_a_batch_gets_the_vectors_that_each_gets_alone(index: Index) -> None:
    lists = [*histories(700, 20), np.zeros(0, np.int64)]
    together = packed(lists)
    weights = np.random.default_rng(2).random(len(together.items))
    batch = index.fold_in.user_vectors(together, weights, tolerance=1e-5)
    for user in range(together.users):
        own = slice(together.indptr[user], together.indptr[user + 1])
        alone = index.fold_in.user_vector(together.items[own], weights[own], tolerance=1e-5)
        assert np.abs(batch[user] - alone).max() < 2e-4
    assert not batch[20].any()


@pytest.mark.parametrize("items", [500, 12_000])
@pytest.mark.parametrize("machines", [1, 2])
def test_recommend_equals_brute_force(items: int, machines: int) -> None:
    fold_in = Index(items, machines).fold_in
    for one in histories(items, 20):
        scores = fold_in.scores(fold_in.user_vector(one))
        scores[one] = -np.inf
        expected = np.lexsort((np.arange(items), -scores))[:10]
        top = fold_in.recommend(one, 10)
        assert np.abs(top.scores - scores[expected]).max() < 1e-5
        assert np.array_equal(top.items, expected)


def test_bounds_of_blocks_keep_most_items_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    fold_in = Index(12_000, 2).fold_in
    read: list[int] = []
    needed = PromisingItems.needed

    def counted(self: PromisingItems, query: Floats, score: np.float32) -> int:
        read.append(needed(self, query, score))
        return read[-1]

    monkeypatch.setattr(PromisingItems, "needed", counted)
    for one in histories(12_000, 20, longest=40):
        fold_in.recommend(one, 10)
    assert len(read) == 20
    assert np.median(read) < 4000


def test_contributions_of_all_blocks_sum_to_the_score(index: Index) -> None:
    random = np.random.default_rng(4)
    for one in histories(700, 40, seed=5):
        asked, weights = random.permutation(700)[:20], random.random(len(one))
        found = index.fold_in.contributions(one, asked, weights)
        assert np.abs(found.offset + found.history.sum(axis=1) + found.negatives - found.scores).max() < 1e-4
        assert np.abs(index.fold_in.scores(found.vector, asked) - found.scores).max() < 1e-4


def test_the_first_machine_ranks_as_an_index_of_it_and_co_occurrence(index: Index) -> None:
    own = FoldIn(
        np.hstack([index.own[0], index.together]),
        index.offsets,
        REGULARIZATION,
        WEIGHT,
        machines=[FACTORS],
        pick_weights=index.pick_weights,
    )
    lists = packed(histories(700, 15))
    found = index.fold_in.first_machine().rank(lists, 10)
    assert found.scores == pytest.approx(own.rank(lists, 10).scores, abs=1e-4)


@pytest.mark.parametrize(
    ("machines", "weights"), [([12], None), ([17], np.ones(3, np.float32)), ([18], None), ([12], [1.0])]
)
def test_blocks_that_do_not_fit_the_vectors_are_refused(machines: list[int], weights: object) -> None:
    given = None if weights is None else np.asarray(weights, np.float32)
    with pytest.raises(InputError, match=r"items have 17 dimensions|weights of picks have the shape \(1,\)"):
        FoldIn(np.ones((3, 17)), np.ones(3), 1, 0.1, machines=machines, pick_weights=given)
