"""Scores of items as sums: over what a user picked, over what the user did not, and the items alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.live.fold_in_one_machine import Machine
from fmrec.live.items import Items
from fmrec.live.sample import Doubles, Floats
from fmrec.model.co_occurrence import CoOccurrence


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


def contributions(
    items: Items,
    machines: Sequence[Machine],
    co_occurrence: CoOccurrence | None,
    vector: Doubles,
    liked: npt.NDArray[np.int32],
    weights: Doubles,
    chosen: npt.NDArray[np.int64],
) -> Contributions:
    """Split the scores of some items.

    Parameters
    ----------
    vector
        The user's, (k,), of blocks that are each machine's optimum divided by the number of machines.
    liked, weights
        What the user picked, each item once.
    chosen
        Ordinals of the items.
    """
    of_history = np.zeros((len(chosen), len(liked)))
    negatives = np.zeros(len(chosen))
    count = len(machines)
    for machine in machines:
        own = machine.contributions(vector[machine.columns] * count, liked, weights, chosen)
        of_history += own[0] / count
        negatives += own[1] / count
    if co_occurrence is not None:
        of_history += co_occurrence.contributions(liked, weights, chosen)
    offset = items.offsets[chosen]
    return Contributions(
        items=chosen,
        ordinals=liked.astype(np.int64),
        scores=(items.vectors[chosen].astype(np.float64) @ vector + offset).astype(np.float32),
        offset=offset,
        history=of_history.astype(np.float32),
        negatives=negatives.astype(np.float32),
        vector=vector.astype(np.float32),
    )
