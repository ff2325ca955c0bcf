"""The k-NN model against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from algorithms.knn.hyperparameters import resolve_settings
from algorithms.knn.index import NeighbourIndex, most_frequent
from algorithms.knn.projection import Projection, walsh_hadamard
from algorithms.knn.sampling import reservoir_sample
from algorithms.knn.train import scores
from fmrec.errors import FormatError, InputError

COUNT, WIDTH, K = 500, 12, 7


def vectors(seed: int, count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


def build(features: np.ndarray, labels: np.ndarray, **changes: str) -> NeighbourIndex:
    settings = {"feature_dim": str(WIDTH), "k": str(K), "predictor_type": "classifier", "sample_size": "9999"}
    return NeighbourIndex.build(features, labels, resolve_settings({**settings, **changes}), seed=0)


def closeness(metric: str, queries: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What ``distances`` holds for every pair, by definition."""
    if metric == "L2":
        return np.asarray(((queries[:, None] - features) ** 2).sum(axis=2))
    if metric == "COSINE":
        queries, features = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, features))
    return np.asarray(queries @ features.T)


@pytest.mark.parametrize("metric", ["L2", "INNER_PRODUCT", "COSINE"])
def test_exact_search_finds_the_best_and_lists_ascend(metric: str) -> None:
    features, queries = vectors(0), vectors(1, 20)
    labels = np.arange(COUNT, dtype=np.float32) + 1000
    answer = build(features, labels, index_metric=metric).query(queries)
    pairs = closeness(metric, queries.astype(np.float64), features.astype(np.float64))
    best = np.argsort(pairs, axis=1)
    best = best[:, :K] if metric == "L2" else best[:, -K:]
    assert (answer.labels == best + 1000).all()
    np.testing.assert_allclose(
        answer.distances, np.take_along_axis(pairs, best, axis=1), rtol=1e-4, atol=1e-5
    )
    assert (np.diff(answer.distances, axis=1) >= 0).all()


def test_all_neighbours_come_back_where_k_exceeds_the_index() -> None:
    answer = build(vectors(0, 3), np.array([5, 6, 7], np.float32)).query(vectors(1, 2))
    assert np.sort(answer.labels, axis=1).tolist() == [[5, 6, 7], [5, 6, 7]]


@pytest.mark.parametrize(
    "changes",
    [
        {"index_type": "faiss.IVFFlat", "index_metric": "COSINE"},
        {"index_type": "faiss.IVFFlat", "faiss_index_ivf_nlists": "30"},
        {"index_type": "faiss.IVFPQ", "faiss_index_pq_m": "8"},  # 12 features: padded to 16
        {"dimension_reduction_type": "sign", "dimension_reduction_target": "8"},
        {"dimension_reduction_type": "fjlt", "dimension_reduction_target": "8"},
    ],
    ids=str,
)
def test_approximate_indexes_find_most_of_a_clusters_members(changes: dict[str, str]) -> None:
    generator = np.random.default_rng(2)
    centres = 10 * generator.normal(size=(10, WIDTH))
    cluster = generator.integers(0, 10, COUNT)
    features = (centres[cluster] + generator.normal(size=(COUNT, WIDTH))).astype(np.float32)
    model = build(features, cluster.astype(np.float32), **changes)
    answer = model.query(features[:200])
    assert np.mean(answer.predicted_label == cluster[:200]) > 0.95
    assert answer.labels.shape == (200, K)


def test_lists_that_hold_fewer_than_k_are_no_reason_to_answer_less() -> None:
    model = build(
        vectors(0, 60),
        np.arange(60, dtype=np.float32),
        index_type="faiss.IVFFlat",
        faiss_index_ivf_nlists="30",
        k="50",
    )
    answer = model.query(vectors(1, 5))
    assert all(len(set(row)) == 50 for row in answer.labels.tolist())


def test_more_lists_than_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="faiss_index_ivf_nlists is 61, but only 60 vectors"):
        build(
            vectors(0, 60),
            np.arange(60, dtype=np.float32),
            index_type="faiss.IVFFlat",
            faiss_index_ivf_nlists="61",
        )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"index_metric": "COSINE"},
        {"predictor_type": "regressor"},
        {"dimension_reduction_type": "fjlt", "dimension_reduction_target": "5"},
    ],
    ids=str,
)
def test_a_saved_index_answers_the_same(tmp_path: Path, changes: dict[str, str]) -> None:
    model = build(vectors(0), np.arange(COUNT, dtype=np.float32) % 9, **changes)
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model_algo-1",
        "model_algo-1.json",
        "model_algo-1.labels",
    ]
    expected, found = model.query(vectors(1)), NeighbourIndex.load(tmp_path).query(vectors(1))
    assert (expected.labels == found.labels).all()
    assert (expected.distances == found.distances).all()
    assert (expected.predicted_label == found.predicted_label).all()


def test_labels_that_dont_fit_the_index_are_refused(tmp_path: Path) -> None:
    build(vectors(0), np.zeros(COUNT, np.float32)).save(tmp_path)
    (tmp_path / "model_algo-1.labels").write_bytes(bytes(8))
    with pytest.raises(FormatError, match="2 labels for 500 vectors"):
        NeighbourIndex.load(tmp_path)


def test_vectors_of_another_width_and_nan_are_refused() -> None:
    model = build(vectors(0), np.zeros(COUNT, np.float32))
    with pytest.raises(InputError, match="have 3 features, the model was trained on 12"):
        model.query(np.zeros((1, 3), np.float32))
    with pytest.raises(InputError, match="NaN"):
        model.query(np.full((1, WIDTH), np.nan, np.float32))


def test_the_most_frequent_label_wins_and_the_smallest_of_several() -> None:
    labels = np.array([[3, 1, 3, 2], [4, 4, 2, 2], [9, 8, 7, 6], [5, 5, 5, 5]], np.float32)
    assert most_frequent(labels).tolist() == [3, 2, 6, 5]


def test_a_regressor_answers_the_mean() -> None:
    model = build(vectors(0, 2), np.array([1, 4], np.float32), predictor_type="regressor")
    assert model.query(vectors(1, 1)).predicted_label.tolist() == [2.5]


@pytest.mark.parametrize("kind", ["sign", "fjlt"])
def test_projections_keep_lengths_on_average(kind: str) -> None:
    features = np.random.default_rng(0).normal(size=(50, 100)).astype(np.float32)
    ratios = []
    for seed in range(20):
        projected = Projection(kind, seed, 40, 100).apply(features)
        assert projected.shape == (50, 40)
        ratios.append((projected**2).sum() / (features**2).sum())
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_walsh_hadamard_equals_the_matrix() -> None:
    matrix = np.array([[1.0]])
    for _ in range(4):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    rows = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    np.testing.assert_allclose(walsh_hadamard(rows), rows @ matrix, atol=1e-5)


def batches_of(sizes: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    numbers = np.arange(sum(sizes), dtype=np.float32)
    cuts = np.cumsum(sizes)[:-1]
    return [(part[:, None] * 2, part) for part in np.split(numbers, cuts)]


def test_a_sample_as_large_as_the_data_is_the_data() -> None:
    features, labels, seen = reservoir_sample(batches_of([3, 4, 5]), 12, seed=0)
    assert (labels == np.arange(12)).all()
    assert (features[:, 0] == 2 * labels).all()
    assert seen == 12


@pytest.mark.slow
def test_a_smaller_sample_draws_every_row_equally_often() -> None:
    counts = np.zeros(20)
    for seed in range(3000):
        features, labels, seen = reservoir_sample(batches_of([7, 2, 11]), 5, seed)
        assert (features[:, 0] == 2 * labels).all()
        assert len(set(labels.tolist())) == 5
        assert seen == 20
        counts[labels.astype(int)] += 1
    # 3000 draws of 5 in 20: 750 expected, standard deviation 24
    assert np.abs(counts - 750).max() < 5 * 24


def test_scores_equal_their_definitions() -> None:
    truth, predicted = np.array([0, 0, 1, 2], np.float32), np.array([0, 1, 1, 1], np.float32)
    found = scores(truth, predicted, classifier=True)
    assert found["accuracy <score>"] == 0.5
    assert found["macro_f_1.000 <score>"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores(truth, predicted, classifier=False) == {"mse <loss>": 0.5}
