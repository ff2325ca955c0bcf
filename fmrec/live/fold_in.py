"""Fold users into a trained model: a vector from what somebody did, with the items fixed.

With a factorization machine's item vectors x_i, offsets o_i (w_0 + the item's own weight), a history H with
weights a_i (1 by default) and every other item as a weak negative of weight c, a user's vector is the minimum
of

    Σ_{i∈H} a_i log(1 + exp(−(q·x_i + o_i))) + c Σ_{i∉H} log(1 + exp(q·x_i + o_i)) + λ/2 |q|²

which is the logistic loss that the model was trained with, for one user and with weighted negatives; the
weights are those of Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM
2008, who use the squared loss. The problem is convex. ``[q, 1]`` is then a query as any trained user's is.

An ensemble's machines are trained each by itself, and so are users folded into them: blocks of the index's
dimensions, each with a minimum of its own. Co-occurrence's dimensions follow from the history without a
search (`fmrec.model.co_occurrence`), as they do for trained users.

At the minimum ``λ q = Σ ω_i (y_i − p_i) x_i`` (ω the weight, y 1 or 0, p the sigmoid), so that every score
q·x_j is a sum over the history's items and over the negatives: `FoldIn.contributions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.live.contributions import Contributions, contributions
from fmrec.live.fold_in_one_machine import TOLERANCE, Machine
from fmrec.live.histories import one_history
from fmrec.live.items import Items
from fmrec.live.promising_items import Block, PromisingItems
from fmrec.live.sample import Doubles, Floats
from fmrec.live.solver import LastPass
from fmrec.live.typical_user import TYPICAL_PICKS, Objective
from fmrec.live.unpicked_items import Catalogue
from fmrec.model.co_occurrence import CoOccurrence
from fmrec.ranking.blas import single_threaded_products
from fmrec.ranking.top_k import Top, top_k

EXPLAINING_TOLERANCE = 3e-7
"""For contributions, which are exact at the optimum only."""


class FoldIn:
    """Folds users into one model. Made once per model; safe to use from several threads.

    Parameters
    ----------
    items
        Item vectors, float32 (n, k): those of each machine, then those of co-occurrence. They may be
        memory-mapped, and are not copied.
    offsets
        w_0 + the item's own weight, float32 (n,).
    regularization
        λ, above 0.
    negative_weight
        c, above 0.
    machines
        Factors of each machine of an ensemble, whose vectors are divided by the root of their number
        (`fmrec.model.ensemble`). By default there is one machine, which has all factors.
    pick_weights
        What a pick of each item counts in co-occurrence, float32 (n,): its dimensions are those after the
        machines'. None where there are none.
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
        machines: Sequence[int] | None = None,
        pick_weights: npt.NDArray[np.float32] | None = None,
        sample_items: int | None = None,
    ) -> None:
        for name, value in (("regularization", regularization), ("negative_weight", negative_weight)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}: expected a number above 0")
        self._items = Items(items, offsets)
        vectors = self._items.vectors
        widths = [vectors.shape[1]] if machines is None else list(machines)
        self._together = _co_occurrence(vectors, sum(widths), pick_weights)
        self._objective = Objective(float(regularization), float(negative_weight))
        self._machines: list[Machine] = []
        ends = np.cumsum(widths).tolist()
        objective = self._objective.of_one_among(len(widths))
        for width, end in zip(widths, ends, strict=True):
            columns = slice(end - width, end)
            catalogue = Catalogue(vectors[:, columns], self._items.offsets, objective, sample_items)
            self._machines.append(Machine(catalogue, objective, columns))

    @property
    def items(self) -> int:
        """How many items there are."""
        return len(self._items)

    @property
    def num_factors(self) -> int:
        """Of all machines, and of co-occurrence."""
        return self._items.num_factors

    @property
    def regularization(self) -> float:
        return self._objective.regularization

    @property
    def negative_weight(self) -> float:
        return self._objective.negative_weight

    def with_parameters(self, regularization: float, negative_weight: float) -> FoldIn:
        """The same model with another λ and c; nothing is computed again."""
        other = object.__new__(FoldIn)
        other._items, other._together = self._items, self._together
        other._objective = Objective(regularization, negative_weight)
        own = other._objective.of_one_among(len(self._machines))
        other._machines = [Machine(machine.catalogue, own, machine.columns) for machine in self._machines]
        return other

    def first_machine(self) -> FoldIn:
        """The same with the first machine of an ensemble alone."""
        count = len(self._machines)
        if count == 1:
            return self
        own = self._machines[0].catalogue.num_factors
        vectors = self._items.vectors[:, :own] * np.float32(np.sqrt(count))
        weights = None
        if self._together is not None:
            vectors, weights = np.hstack([vectors, self._together.items]), self._together.pick_weights
        return FoldIn(
            vectors,
            self._items.offsets,
            self.regularization,
            self.negative_weight,
            machines=[own],
            pick_weights=weights,
        )

    def prepare(self) -> None:
        """Compute what folding in one user at a time needs, which otherwise the first user waits for."""
        _ = self._promising

    @cached_property
    def _promising(self) -> PromisingItems | None:
        """None where users are not all expanded about a centre, or reading all items costs little."""
        expansions = [machine.expansion for machine in self._machines]
        known = [expansion for expansion in expansions if expansion is not None]
        count = len(expansions)
        if len(known) < count or not PromisingItems.pays(self._items):
            return None
        blocks = [Block(each.centre / count, each.typical_distance() / count) for each in known]
        if self._together is not None:
            blocks.append(Block(*self._together.typical_user(TYPICAL_PICKS)))
        return PromisingItems(self._items, blocks)

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
        found = np.empty((histories.users, self.num_factors), np.float32)
        # Most products are small, and several BLAS threads spend longer on meeting than on multiplying.
        with single_threaded_products():
            for machine in self._machines:
                found[:, machine.columns] = machine.vectors(histories, weights, tolerance)
        end = self._machines[-1].columns.stop
        found[:, :end] /= len(self._machines)
        if self._together is not None:
            found[:, end:] = self._together.users(histories, weights)
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
        catalogue = np.hstack([self._items.vectors, self._items.offsets[:, None]])
        return top_k(queries, catalogue, count, histories if seen is None else seen, excluded)

    def scores(self, vector: npt.ArrayLike, items: npt.ArrayLike | None = None) -> Floats:
        """Scores of some items, or of all, for a user's vector: float32."""
        return self._items.scores(vector, None if items is None else np.asarray(items, np.int64))

    def item(self, ordinal: int) -> tuple[Floats, float]:
        """One item's vector (k,) and offset."""
        return self._items.vectors[ordinal], float(self._items.offsets[ordinal])

    def cosines(self, ordinal: int, items: npt.ArrayLike | None = None) -> Floats:
        """Cosine between one item's vector and those of some items, or of all: float32; 0 for a
        zero vector.
        """
        return self._items.cosines(ordinal, items)

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
        return contributions(
            self._items, self._machines, self._together, vector, history.items, summed, chosen
        )

    def _solved(
        self, ordinals: npt.ArrayLike, weights: npt.ArrayLike | None, tolerance: float
    ) -> tuple[Doubles, LastPass | None]:
        """Return the vector, and the last pass over the items of a sole machine, if there was one."""
        history, summed = one_history(ordinals, weights, self.items)
        if not len(history.items):
            return np.zeros(self.num_factors), None
        solved = [machine.vector(history, summed, tolerance) for machine in self._machines]
        parts: list[Doubles | Floats] = [vector / len(solved) for vector, _ in solved]
        if self._together is not None:
            parts.append(self._together.user(history.items, summed))
        return np.concatenate(parts), solved[0][1] if len(solved) == 1 else None

    def _best(
        self,
        vector: Doubles,
        last: LastPass | None,
        count: int,
        hidden: npt.NDArray[np.int64],
        excluded: npt.NDArray[np.bool_] | None,
    ) -> Top:
        """Rank all items, where the last pass's scores can bound the present ones without another pass."""
        promising = self._promising if last is None else None
        if promising is not None:
            return promising.top(vector.astype(np.float32), count, hidden, excluded)
        if last is None:
            scores, slack = self.scores(vector), None
        else:
            (machine,) = self._machines
            scores, moved = last.scores, vector[machine.columns] - last.vector
            if self._together is not None:
                scores += self._together.items @ vector[machine.columns.stop :].astype(np.float32)
            slack = machine.catalogue.norms * np.float32(np.linalg.norm(moved) * (1 + 1e-5) + 1e-7)
        scores[hidden] = -np.inf
        if excluded is not None:
            scores[excluded] = -np.inf
        return self._items.best(scores, slack, count, vector)


def _co_occurrence(
    vectors: Floats, factors: int, pick_weights: npt.NDArray[np.float32] | None
) -> CoOccurrence | None:
    """What the dimensions after the machines' factors are.

    Raises
    ------
    InputError
        There are more or fewer dimensions than that.
    """
    if (factors == vectors.shape[1]) != (pick_weights is None) or factors > vectors.shape[1]:
        raise InputError(
            f"items have {vectors.shape[1]} dimensions, {factors} of them of factorization machines: the others "
            "are of co-occurrence, which has a weight for each item"
        )
    if pick_weights is None:
        return None
    if pick_weights.shape != (len(vectors),) or not np.isfinite(pick_weights).all():
        raise InputError(
            f"weights of picks have the shape {pick_weights.shape}: expected {(len(vectors),)}, all finite"
        )
    return CoOccurrence(vectors[:, factors:], pick_weights)
