"""Fold users into a trained factorization machine: a vector from what somebody did, with the items fixed.

With item vectors x_i, offsets o_i (w_0 + the item's own weight), a history H with weights a_i (1 by default)
and every other item as a weak negative of weight c, a user's vector is the minimum of

    Σ_{i∈H} a_i log(1 + exp(−(q·x_i + o_i))) + c Σ_{i∉H} log(1 + exp(q·x_i + o_i)) + λ/2 |q|²

which is the logistic loss that the model was trained with, for one user and with weighted negatives; the
weights are those of Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM
2008, who use the squared loss. The problem is convex. ``[q, 1]`` is then a query as any trained user's is.

At the minimum ``λ q = Σ ω_i (y_i − p_i) x_i`` (ω the weight, y 1 or 0, p the sigmoid), so that every score
q·x_j is a sum over the history's items and over the negatives: `FoldIn.contributions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.live.expansion import Expansion
from fmrec.live.histories import blocks, one_history
from fmrec.live.promising_items import PromisingItems
from fmrec.live.quick_search import quick_vector
from fmrec.live.sample import Doubles, Floats, sigmoid
from fmrec.live.solver import LastPass, solve
from fmrec.live.typical_user import Objective
from fmrec.live.unpicked_items import Catalogue
from fmrec.ranking.blas import single_threaded_products
from fmrec.ranking.top_k import Top, top_k

TOLERANCE = 0.005
"""Share of its length that a vector may be off by, as the search estimates it; `docs/live.md` has what it is
at worst. A single user's vector is found with one pass over the items at most where the model can be expanded
(`Expansion`) and no smaller tolerance is asked for: 0.006 in the median and 0.028 at worst with 27,000 items
of 64 factors. A smaller tolerance costs a pass over the items for each factor of about ten."""
EXPLAINING_TOLERANCE = 3e-7
"""For contributions, which are exact at the optimum only."""


@dataclass(frozen=True)
class Contributions:
    """What makes up the scores of some items: ``offset + history.sum(axis=1) + negatives``.

    ``history`` float32 (items, m): one column for each item of the history, in the order of ``ordinals``.
    ``offset`` float32 (items,): w_0 and the item's own weight, about its popularity.
    ``negatives`` float32 (items,): what follows from all that the user did not pick.
    ``scores`` float32 (items,): the scores themselves, computed from ``vector`` (k,).
    """

    items: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    scores: Floats
    offset: Floats
    history: Floats
    negatives: Floats
    vector: Floats


class FoldIn:
    """Folds users into one model. Made once per model; safe to use from several threads.

    Parameters
    ----------
    items
        Item vectors x, float32 (n, k). They may be memory-mapped, and are not copied.
    offsets
        w_0 + the item's own weight, float32 (n,).
    regularization
        λ, above 0.
    negative_weight
        c, above 0.
    sample_items
        Size of the weighted sample of items that stands for the catalogue's curvature; chosen by default.

    Raises
    ------
    InputError
        Shapes that don't fit, values that are not finite, or weights that are not above 0.

    Examples
    --------
    >>> items = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    >>> fold_in = FoldIn(items, np.full(3, -2, np.float32), regularization=1, negative_weight=0.1)
    >>> fold_in.recommend([0], 2).items
    array([1, 2])
    """

    def __init__(
        self,
        items: npt.ArrayLike,
        offsets: npt.ArrayLike,
        regularization: float,
        negative_weight: float,
        *,
        sample_items: int | None = None,
    ) -> None:
        for name, value in (("regularization", regularization), ("negative_weight", negative_weight)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}: expected a number above 0")
        self._objective = Objective(float(regularization), float(negative_weight))
        self._catalogue = Catalogue(
            np.asarray(items, np.float32), np.asarray(offsets, np.float32), self._objective, sample_items
        )

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self._catalogue)

    @property
    def num_factors(self) -> int:
        return int(self._catalogue.vectors.shape[1])

    @property
    def regularization(self) -> float:
        return self._objective.regularization

    @property
    def negative_weight(self) -> float:
        return self._objective.negative_weight

    def with_parameters(self, regularization: float, negative_weight: float) -> FoldIn:
        """The same model with another λ and c; nothing is computed again."""
        other = object.__new__(FoldIn)
        other._catalogue = self._catalogue
        other._objective = Objective(regularization, negative_weight)
        return other

    def prepare(self) -> None:
        """Compute what folding in one user at a time needs, which otherwise the first user waits for."""
        _ = self._promising

    @cached_property
    def _expansion(self) -> Expansion | None:
        return Expansion.of(self._catalogue, self._objective) if Expansion.pays(self._catalogue) else None

    @cached_property
    def _promising(self) -> PromisingItems | None:
        expansion = self._expansion
        if expansion is None or not PromisingItems.pays(self._catalogue):
            return None
        return PromisingItems(self._catalogue, expansion.centre, expansion.typical_distance())

    def user_vector(
        self, ordinals: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, tolerance: float = TOLERANCE
    ) -> Floats:
        """Fold one user in.

        Parameters
        ----------
        ordinals
            Items that the user picked, (m,). One that repeats counts with the sum of its weights.
        weights
            How much each counts, (m,), not below 0; 1 each by default.

        Returns
        -------
        numpy.ndarray
            float32 (k,); zeros without a history, so that items rank by their own weight.

        Raises
        ------
        InputError
            An ordinal is no item's, or weights don't fit.
        """
        return self._solved(ordinals, weights, tolerance)[0].astype(np.float32)

    def user_vectors(
        self,
        histories: Interactions,
        weights: npt.NDArray[np.float64] | None = None,
        *,
        tolerance: float = TOLERANCE,
    ) -> Floats:
        """Fold many users in.

        Parameters
        ----------
        histories
            Items that each user picked.
        weights
            How much each pair of ``histories.items`` counts; 1 each by default.

        Returns
        -------
        numpy.ndarray
            float32 (users, k), zeros for a user without a history.
        """
        if len(histories.items) and int(histories.items.max()) >= self.items:
            raise InputError(
                f"a history names item {int(histories.items.max())}: expected ordinals below {self.items}"
            )
        if weights is not None and weights.shape != histories.items.shape:
            raise InputError(f"{len(histories.items)} pairs have weights of shape {weights.shape}")
        found = np.zeros((histories.users, self.num_factors), np.float32)
        # Most products are small, and several BLAS threads spend longer on meeting than on multiplying.
        with single_threaded_products():
            for block in blocks(self._catalogue, histories, weights):
                found[block.users] = solve(self._catalogue, self._objective, block, tolerance)[0]
        return found

    def recommend(
        self,
        ordinals: npt.ArrayLike,
        count: int,
        weights: npt.ArrayLike | None = None,
        *,
        seen: npt.ArrayLike | None = None,
        excluded: npt.NDArray[np.bool_] | None = None,
    ) -> Top:
        """The best items for one user, best first; equal scores are ordered by item.

        Parameters
        ----------
        ordinals, weights
            The history, as for `user_vector`.
        count
            How many items.
        seen
            Ordinals that the user is not to get; by default those of the history.
        excluded
            (n,) True for items that nobody is to get.

        Returns
        -------
        Top
            ``items`` int64 (count,) and ``scores`` float32 (count,); shorter where fewer items are left.
        """
        if count < 1:
            raise InputError(f"count is {count}: expected at least 1")
        vector, last = self._solved(ordinals, weights, TOLERANCE)
        hidden = np.asarray(ordinals if seen is None else seen, np.int64)
        return self._best(vector, last, count, hidden, excluded)

    def rank(
        self,
        histories: Interactions,
        count: int,
        weights: npt.NDArray[np.float64] | None = None,
        *,
        seen: Interactions | None = None,
        excluded: npt.NDArray[np.bool_] | None = None,
    ) -> Top:
        """The best items for many users, by exact ranking as the workflow's lists are made; (users,
        count).
        """
        vectors = self.user_vectors(histories, weights)
        queries = np.hstack([vectors, np.ones((len(vectors), 1), np.float32)])
        catalogue = np.hstack([self._catalogue.vectors, self._catalogue.offsets[:, None]])
        return top_k(queries, catalogue, count, histories if seen is None else seen, excluded)

    def scores(self, vector: npt.ArrayLike, items: npt.ArrayLike | None = None) -> Floats:
        """Scores of some items, or of all, for a user's vector: float32."""
        query = np.asarray(vector, np.float64)
        if items is None:
            return self._catalogue.scores(query)
        chosen = np.asarray(items, np.int64)
        products = self._catalogue.vectors[chosen] @ query.astype(np.float32)
        return np.asarray(products + self._catalogue.offsets[chosen], np.float32)

    def item(self, ordinal: int) -> tuple[Floats, float]:
        """One item's vector (k,) and offset."""
        return self._catalogue.vectors[ordinal], float(self._catalogue.offsets[ordinal])

    def cosines(self, ordinal: int, items: npt.ArrayLike | None = None) -> Floats:
        """Cosine between one item's vector and those of some items, or of all: float32; 0 for a
        zero vector.
        """
        catalogue = self._catalogue
        chosen = slice(None) if items is None else np.asarray(items, np.int64)
        products = catalogue.vectors[chosen] @ catalogue.vectors[ordinal]
        lengths = catalogue.norms[chosen] * catalogue.norms[ordinal]
        return np.asarray(products / np.maximum(lengths, np.float32(1e-30)), np.float32)

    def contributions(
        self, ordinals: npt.ArrayLike, items: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> Contributions:
        """Split the scores of some items into what each item of the history gives, and the rest.

        The user's vector is found more exactly for this, in a few passes more. The parts are computed one
        by one, none as what is left over.

        Raises
        ------
        InputError
            The history is empty, or an ordinal is no item's.
        """
        history, summed = one_history(ordinals, weights, self.items)
        if not len(history.items):
            raise InputError("the history is empty: there is nothing to explain a score by")
        chosen = np.asarray(items, np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.items:
            raise InputError(f"expected item ordinals from 0 below {self.items}")
        vector, _ = self._solved(ordinals, weights, EXPLAINING_TOLERANCE)
        catalogue, objective = self._catalogue, self._objective
        liked, c = history.items, objective.negative_weight
        vectors = catalogue.vectors[liked].astype(np.float64)
        p = sigmoid(vectors @ vector + catalogue.offsets[liked])
        pull = (summed * (1 - p))[:, None] * vectors / objective.regularization
        of_all, _ = catalogue.gradients(vector[None, :])
        push = -c * (of_all[0] - p @ vectors) / objective.regularization
        about = catalogue.vectors[chosen].astype(np.float64)
        return Contributions(
            items=chosen,
            ordinals=liked.astype(np.int64),
            scores=(about @ vector + catalogue.offsets[chosen]).astype(np.float32),
            offset=np.asarray(catalogue.offsets[chosen], np.float32),
            history=(about @ pull.T).astype(np.float32),
            negatives=(about @ push).astype(np.float32),
            vector=vector.astype(np.float32),
        )

    def _solved(
        self, ordinals: npt.ArrayLike, weights: npt.ArrayLike | None, tolerance: float
    ) -> tuple[Doubles, LastPass | None]:
        history, summed = one_history(ordinals, weights, self.items)
        if not len(history.items):
            return np.zeros(self.num_factors), None
        catalogue = self._catalogue
        expansion = self._expansion if tolerance >= TOLERANCE else None
        if expansion is not None:
            own = history.items
            quick = quick_vector(
                catalogue,
                expansion,
                catalogue.vectors[own],
                catalogue.offsets[own],
                summed.astype(np.float32),
            )
            if quick is not None:
                return quick.astype(np.float64), None
        (block,) = blocks(catalogue, history, summed)
        vectors, last = solve(self._catalogue, self._objective, block, tolerance)
        return vectors[0], last

    def _best(
        self,
        vector: Doubles,
        last: LastPass | None,
        count: int,
        hidden: npt.NDArray[np.int64],
        excluded: npt.NDArray[np.bool_] | None,
    ) -> Top:
        """Rank all items, where the last pass's scores can bound the present ones without another pass."""
        catalogue = self._catalogue
        promising = self._promising if last is None else None
        if promising is not None:
            return promising.top(vector.astype(np.float32), count, hidden, excluded)
        if last is None:
            scores, slack = catalogue.scores(vector), None
        else:
            scores = last.scores
            slack = catalogue.norms * np.float32(np.linalg.norm(vector - last.vector) * (1 + 1e-5) + 1e-7)
        scores[hidden] = -np.inf
        if excluded is not None:
            scores[excluded] = -np.inf
        count = min(count, int(np.count_nonzero(scores > -np.inf)))
        if not count:
            return Top(np.zeros(0, np.int64), np.zeros(0, np.float32))
        low = scores if slack is None else scores - slack
        bound = np.partition(low, len(low) - count)[len(low) - count]
        candidates = np.flatnonzero((scores if slack is None else scores + slack) >= bound)
        found = scores[candidates] if slack is None else self.scores(vector, candidates)
        order = np.lexsort((candidates, -found))[:count]
        return Top(candidates[order], found[order])
