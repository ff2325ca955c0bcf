import math
from typing import Any

import numpy as np
import pytest

from fmrec.errors import InputError
from fmrec.ranking import metrics
from fmrec.ranking.intervals import bootstrap, paired_bootstrap
from fmrec.ranking.metrics import accuracy_metrics, coverage, diversity, novelty

TREC_NAMES = {
    "ndcg": "ndcg_cut",
    "recall": "recall",
    "precision": "P",
    "hit_rate": "success",
    "map": "map_cut",
}


def random_case(seed: Any) -> Any:
    random = np.random.default_rng(seed)
    items, k = int(random.integers(2, 120)), int(random.integers(1, 40))
    users = int(random.integers(1, 12))
    relevant = [
        random.choice(items, int(random.integers(1, min(items, 60) + 1)), replace=False).tolist()
        for _ in range(users)
    ]
    ranked = [random.permutation(items)[:k].tolist() for _ in range(users)]
    return {"k": k, "relevant": relevant, "ranked": ranked}


def ours(case: Any) -> Any:
    k = case["k"]
    hits = np.zeros((len(case["ranked"]), k), bool)
    for user, (ranked, relevant) in enumerate(zip(case["ranked"], case["relevant"], strict=True)):
        hits[user, : len(ranked)] = np.isin(ranked, relevant)
    return accuracy_metrics(hits, np.array([len(relevant) for relevant in case["relevant"]]))


def test_equals_trec_eval_on_200_random_cases(trec_eval: Any) -> None:
    cases = [random_case(seed) for seed in range(200)]
    for case, judged in zip(cases, trec_eval(cases), strict=True):
        found = ours(case)
        for name, trec in TREC_NAMES.items():
            expected = [answer[f"{trec}_{case['k']}"] for answer in judged]
            assert found[name] == pytest.approx(expected, abs=1e-9), (name, case["k"])


def test_a_case_worked_by_hand() -> None:
    hits = np.array([[True, False, True], [False, False, False], [False, True, False]])
    found = accuracy_metrics(hits, np.array([2, 1, 5]))
    ideal = 1 + 1 / math.log2(3)
    assert found["ndcg"] == pytest.approx([1.5 / ideal, 0, (1 / math.log2(3)) / (ideal + 0.5)])
    assert found["recall"].tolist() == [1.0, 0.0, 0.2]
    assert found["precision"] == pytest.approx([2 / 3, 0, 1 / 3])
    assert found["hit_rate"].tolist() == [1.0, 0.0, 1.0]
    assert found["map"] == pytest.approx([(1 + 2 / 3) / 2, 0, 0.5 / 5])


def test_users_without_relevant_items_or_with_more_hits_than_them_are_refused() -> None:
    hits = np.array([[True, True]])
    for relevant in ([0], [1], [2, 2]):
        with pytest.raises(InputError, match="at least one relevant item"):
            accuracy_metrics(hits, np.array(relevant))


def test_novelty_is_the_mean_information_of_what_was_recommended() -> None:
    met_by = np.array([8, 2, 1, 0])
    items = np.array([[0, 1], [2, 3], [1, -1], [-1, -1]])
    assert novelty(items, met_by, users=8).tolist() == [1.0, 3.0, 2.0, 0.0]


def test_diversity_is_the_mean_distance_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.array([[2, 0], [0, 3], [-1, 0], [5, 0], [0, 0]], np.float32)
    items = np.array([[0, 3, -1], [0, 1, -1], [0, 2, -1], [0, 1, 2], [0, 4, -1], [3, -1, -1], [-1, -1, -1]])
    expected = [0, 1, 2, (1 + 2 + 1) / 3, 1, 0, 0]
    assert diversity(items, vectors).tolist() == pytest.approx(expected)
    monkeypatch.setattr(metrics, "VALUES_AT_ONCE", 12)  # two users at a time
    assert diversity(items, vectors).tolist() == pytest.approx(expected)


def test_coverage_counts_distinct_items() -> None:
    assert coverage(np.array([True, False, True, True])) == 0.75


def test_the_interval_narrows_with_the_root_of_the_users_and_is_reproducible() -> None:
    random = np.random.default_rng(0)
    few, many = random.random(400), random.random(6400)
    small, large = bootstrap(few), bootstrap(many)
    assert small == bootstrap(few)
    assert small.low < small.mean < small.high
    assert small.mean == few.mean()
    width = 2 * 1.96 * few.std() / 20
    assert small.high - small.low == pytest.approx(width, rel=0.1)
    assert large.high - large.low == pytest.approx(width / 4, rel=0.15)


@pytest.mark.slow
def test_the_computed_interval_of_many_users_agrees_with_the_resampled_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).random(30_000) ** 3
    computed = bootstrap(values)
    monkeypatch.setattr("fmrec.ranking.intervals.RESAMPLED_USERS", 10**6)
    resampled = bootstrap(values)
    assert computed.low == pytest.approx(resampled.low, abs=4e-4)
    assert computed.high == pytest.approx(resampled.high, abs=4e-4)


def test_pairing_sees_a_difference_that_two_intervals_would_hide() -> None:
    random = np.random.default_rng(2)
    base = random.random(300)
    better = base + 0.01 + random.normal(0, 0.01, 300)
    difference = paired_bootstrap(better, base)
    assert 0.008 < difference.low < difference.mean < difference.high < 0.012
    assert bootstrap(better).low < bootstrap(base).high


def test_intervals_need_users_that_pair() -> None:
    with pytest.raises(InputError, match="no user to average over"):
        bootstrap(np.zeros(0))
    with pytest.raises(InputError, match="3 and 2 users can't be paired"):
        paired_bootstrap(np.zeros(3), np.zeros(2))
