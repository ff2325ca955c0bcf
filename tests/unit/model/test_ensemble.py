"""An ensemble's vectors: their inner products are the average of the machines' scores."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fmrec.errors import InputError
from fmrec.model.ensemble import Ensemble
from fmrec.model.factorization_machine import FactorizationMachine

USERS, ITEMS, SIDES = 5, 7, 3
FEATURES = USERS + ITEMS + SIDES


def machine(
    seed: int, num_factors: int = 4, predictor_type: str = "binary_classifier"
) -> FactorizationMachine:
    generator = np.random.default_rng(seed)
    return FactorizationMachine(
        float(generator.standard_normal()),
        generator.standard_normal(FEATURES).astype(np.float32),
        generator.standard_normal((FEATURES, num_factors)).astype(np.float32),
        predictor_type,
    )


def pair(user: int, item: int) -> Any:
    row = np.zeros(FEATURES)
    row[[user, USERS + item]] = 1
    return row


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6))
def test_products_are_the_mean_of_the_scores_of_all_machines(seeds: list[int]) -> None:
    machines = [machine(seed, num_factors=2 + seed % 3) for seed in seeds]
    ensemble = Ensemble(machines)
    users, user_constants = ensemble.parameters(0, USERS)
    items, item_constants = ensemble.parameters(USERS, USERS + ITEMS)

    rows = sparse.csr_matrix([pair(user, item) for user in range(USERS) for item in range(ITEMS)])
    expected = np.mean([each.scores(rows) for each in machines], axis=0).reshape(USERS, ITEMS)
    scores = ensemble.bias + user_constants[:, None] + item_constants + users @ items.T
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    assert ensemble.num_factors == users.shape[1] == sum(each.num_factors for each in machines)


def test_folded_side_features_are_averaged_too() -> None:
    machines = [machine(seed) for seed in range(3)]
    ensemble = Ensemble(machines)
    query = np.zeros((1, FEATURES))
    query[0, [1, FEATURES - 1]] = 1, 0.5
    item = np.zeros((1, FEATURES))
    item[0, [USERS + 2, FEATURES - 2]] = 1, 2
    (p, c), (q, d) = (ensemble.fold(sparse.csr_matrix(side)) for side in (query, item))

    expected = np.mean([each.scores(sparse.csr_matrix(query + item))[0] for each in machines])
    assert ensemble.bias + c[0] + d[0] + p[0] @ q[0] == pytest.approx(expected, rel=1e-6)


def test_the_order_of_the_machines_changes_no_score() -> None:
    machines = [machine(seed) for seed in range(3)]

    def scores(order: list[int]) -> Any:
        ensemble = Ensemble([machines[number] for number in order])
        users, items = ensemble.parameters(0, USERS), ensemble.parameters(USERS, USERS + ITEMS)
        return users[0] @ items[0].T + items[1]

    np.testing.assert_allclose(scores([0, 1, 2]), scores([2, 0, 1]), rtol=1e-5, atol=1e-6)


def test_one_machine_is_itself_bit_for_bit() -> None:
    only = machine(1)
    vectors, constants = Ensemble([only]).parameters(0, FEATURES)

    assert np.array_equal(vectors, only.factors)
    assert np.array_equal(constants.astype(np.float32), only.linear)
    assert Ensemble([only]).bias == only.bias


def test_machines_of_other_runs_are_refused() -> None:
    with pytest.raises(InputError, match="expected at least one"):
        Ensemble([])
    with pytest.raises(InputError, match="model 2 of the ensemble has the predictor_type regressor"):
        Ensemble([machine(1), machine(2, predictor_type="regressor")])
    short = FactorizationMachine(
        0.0, np.zeros(3, np.float32), np.zeros((3, 4), np.float32), "binary_classifier"
    )
    with pytest.raises(InputError, match=f"has the feature_dim 3, the first one {FEATURES}"):
        Ensemble([machine(1), short])
