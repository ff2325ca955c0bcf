"""One factorization machine's items, into which users are folded: the search for a vector of its factors."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.live.expansion import Expansion
from fmrec.live.histories import blocks
from fmrec.live.quick_search import quick_vector
from fmrec.live.sample import Doubles, Floats, sigmoid
from fmrec.live.solver import LastPass, solve
from fmrec.live.typical_user import Objective
from fmrec.live.unpicked_items import Catalogue

TOLERANCE = 0.005
"""Share of its length that a vector may be off by, as the search estimates it; `docs/live.md` has what it is
at worst. A single user's vector is found with one pass over the items at most where the model can be expanded
(`Expansion`) and no smaller tolerance is asked for: 0.006 in the median and 0.028 at worst with 27,000 items
of 64 factors. A smaller tolerance costs a pass over the items for each factor of about ten."""


class Machine:
    """Finds the minimum of `fmrec.live.fold_in` for users of one catalogue.

    Parameters
    ----------
    catalogue
        The items' vectors, and their offsets.
    objective
        λ and c.
    columns
        Which dimensions of the index the catalogue's are.
    """

    def __init__(self, catalogue: Catalogue, objective: Objective, columns: slice) -> None:
        self.catalogue, self.objective, self.columns = catalogue, objective, columns

    @cached_property
    def expansion(self) -> Expansion | None:
        return Expansion.of(self.catalogue, self.objective) if Expansion.pays(self.catalogue) else None

    def vector(
        self, history: Interactions, weights: Doubles, tolerance: float
    ) -> tuple[Doubles, LastPass | None]:
        """Return the vector (k,) of one user, whose history is not empty, and the last pass over the items,
        if there was one.
        """
        catalogue = self.catalogue
        expansion = self.expansion if tolerance >= TOLERANCE else None
        if expansion is not None:
            own = history.items
            quick = quick_vector(
                catalogue,
                expansion,
                catalogue.vectors[own],
                catalogue.offsets[own],
                weights.astype(np.float32),
            )
            if quick is not None:
                return quick.astype(np.float64), None
        (block,) = blocks(catalogue, history, weights)
        vectors, last = solve(catalogue, self.objective, block, tolerance)
        return vectors[0], last

    def vectors(
        self, histories: Interactions, weights: npt.NDArray[np.float64] | None, tolerance: float
    ) -> Floats:
        """Return the vectors (users, k) of many users, zeros for one without a history."""
        found = np.zeros((histories.users, self.catalogue.num_factors), np.float32)
        for block in blocks(self.catalogue, histories, weights):
            found[block.users] = solve(self.catalogue, self.objective, block, tolerance)[0]
        return found

    def contributions(
        self, vector: Doubles, liked: npt.NDArray[np.int32], weights: Doubles, items: npt.NDArray[np.int64]
    ) -> tuple[Doubles, Doubles]:
        """Split the products of a user's vector (k,), which is the optimum, with some items: what each item
        of the history gives (items, m), and what the negatives give (items,).
        """
        catalogue, objective = self.catalogue, self.objective
        vectors = catalogue.vectors[liked].astype(np.float64)
        p = sigmoid(vectors @ vector + catalogue.offsets[liked])
        pull = (weights * (1 - p))[:, None] * vectors / objective.regularization
        of_all, _ = catalogue.gradients(vector[None, :])
        push = -objective.negative_weight * (of_all[0] - p @ vectors) / objective.regularization
        about = catalogue.vectors[items].astype(np.float64)
        return about @ pull.T, about @ push
