"""Folding one user in from an expansion about a typical user: its terms, its estimate of its error, and what
follows where that is too large.
"""

import numpy as np
import numpy.typing as npt
import pytest

from fmrec.live import FoldIn, quick_search
from fmrec.live.expansion import Expansion
from fmrec.live.quick_search import quick_vector
from fmrec.live.typical_user import Objective
from fmrec.live.unpicked_items import Catalogue

Doubles = npt.NDArray[np.float64]
OBJECTIVE = Objective(regularization=2.0, negative_weight=0.05)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    random = np.random.default_rng(0)
    tastes = random.normal(size=(20, 24)) * 0.25
    vectors = tastes[random.integers(0, 20, 9000)] + random.normal(size=(9000, 24)) * 0.12
    return Catalogue(vectors.astype(np.float32), random.normal(-3, 1, 9000).astype(np.float32), OBJECTIVE)


@pytest.fixture(scope="module")
def expansion(catalogue: Catalogue) -> Expansion:
    assert Expansion.pays(catalogue)
    return Expansion.of(catalogue, OBJECTIVE)


def exact_terms(catalogue: Catalogue, query: Doubles) -> tuple[Doubles, Doubles]:
    x = catalogue.vectors.astype(np.float64)
    p = 1 / (1 + np.exp(-(x @ query + catalogue.offsets)))
    c, regularization = OBJECTIVE.negative_weight, OBJECTIVE.regularization
    gradient = c * p @ x + regularization * query
    return gradient, c * (x * (p * (1 - p))[:, None]).T @ x + regularization * np.eye(len(query))


def test_terms_are_exact_at_the_typical_user_and_near_around(
    catalogue: Catalogue, expansion: Expansion
) -> None:
    random = np.random.default_rng(1)
    for length, bound in ((0.0, 1e-4), (0.1, 1e-4), (1.0, 0.01)):
        difference = random.normal(size=24)
        difference *= length / np.linalg.norm(difference)
        gradient, curvature, error = expansion.terms(difference.astype(np.float32))
        wanted, wanted_curvature = exact_terms(catalogue, expansion.centre.astype(np.float64) + difference)
        assert np.linalg.norm(gradient - wanted) <= bound * float(np.linalg.norm(wanted) + 1)
        assert np.linalg.norm(curvature - wanted_curvature) <= 10 * bound * float(
            np.linalg.norm(wanted_curvature)
        )
        assert np.linalg.norm(error) <= bound * float(np.linalg.norm(wanted) + 1)


def test_the_halves_of_the_sample_say_how_far_the_gradient_is_off(
    catalogue: Catalogue, expansion: Expansion
) -> None:
    random = np.random.default_rng(2)
    ratios = []
    for _ in range(40):
        difference = random.normal(size=24)
        difference *= 3 / np.linalg.norm(difference)
        gradient, _, error = expansion.terms(difference.astype(np.float32))
        wanted, _ = exact_terms(catalogue, expansion.centre.astype(np.float64) + difference)
        ratios.append(np.linalg.norm(gradient - wanted) / np.linalg.norm(error))
    assert 0.4 < np.median(ratios) < 2


def test_a_vector_whose_sample_may_be_off_is_corrected_by_an_exact_gradient(
    catalogue: Catalogue, expansion: Expansion, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold_in = FoldIn(catalogue.vectors, catalogue.offsets, 2.0, 0.05)
    random = np.random.default_rng(3)
    passes = 0
    gradients = Catalogue.gradients

    def counted(self: Catalogue, queries: Doubles) -> tuple[Doubles, npt.NDArray[np.float32] | None]:
        nonlocal passes
        passes += 1
        return gradients(self, queries)

    def errors() -> Doubles:
        vectors = np.zeros((10, 24))
        for row, history in enumerate(histories):
            picked = catalogue.vectors[history], catalogue.offsets[history], np.ones(60, np.float32)
            vector = quick_vector(catalogue, expansion, *picked)
            assert vector is not None
            vectors[row] = vector
        return np.asarray(
            np.linalg.norm(vectors - optima, axis=1) / np.linalg.norm(optima, axis=1), np.float64
        )

    histories = [np.sort(random.permutation(9000)[:60]) for _ in range(10)]
    optima = np.array([fold_in.user_vector(history, tolerance=1e-7) for history in histories], np.float64)
    monkeypatch.setattr(Catalogue, "gradients", counted)
    monkeypatch.setattr(quick_search, "MAXIMUM_ERROR", np.inf)
    sampled = errors()
    assert passes == 0
    monkeypatch.setattr(quick_search, "MAXIMUM_ERROR", 0.0)
    corrected = errors()
    assert passes == 10
    assert np.median(corrected) < 0.3 * np.median(sampled)


def test_a_search_that_does_not_come_to_rest_has_no_vector(
    catalogue: Catalogue, expansion: Expansion, monkeypatch: pytest.MonkeyPatch
) -> None:
    picked = catalogue.vectors[:5], catalogue.offsets[:5], np.ones(5, np.float32)
    assert quick_vector(catalogue, expansion, *picked) is not None
    monkeypatch.setattr(quick_search, "SMALL_STEP", 1e-9)
    assert quick_vector(catalogue, expansion, *picked) is None


def test_catalogues_that_are_small_or_too_large_for_a_tensor_are_not_expanded() -> None:
    random = np.random.default_rng(4)

    def pays(items: int, factors: int) -> bool:
        vectors = random.normal(size=(items, factors)).astype(np.float32)
        return Expansion.pays(Catalogue(vectors, np.full(items, -2, np.float32), OBJECTIVE))

    assert not pays(4096, 4)  # its own sample
    assert not pays(4200, 160)  # the tensor is larger than the vectors
    assert pays(4200, 16)
    assert not pays(70_000, 64)
