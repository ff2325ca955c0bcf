"""What goes with what, as further dimensions of the index: the item-to-item part of the scores.

A factorization machine's vector of a user is learned from the picks of that user, and of one with few picks
it is little more than popularity. Linear models from item to item, such as EASE, have no vectors of users to
learn. Their kind of score is added here, without a training: with X the picks, D_u and D_i the numbers of
picks of users and items, and X̂ = D_u^-¼ X D_i^-¼,

    scores = X̂ (X̂ᵀX̂)^½ ≈ X̂ Q S Qᵀ

where S and Q are the highest singular values and right vectors of X̂. The root of the Gram matrix has the
eigenvectors of item-to-item models, and weighs them between counting pairs (the Gram matrix itself, which
knows little but popularity) and projecting on them (1, to which EASE comes near, and which a few of them
follow badly).

The scores are an inner product, x̂ᵀQS^½ of a user with QS^½ of an item, so that both are concatenated with
the model's vectors, as those of an ensemble are. How far they spread, compared with the model's own scores,
is the setting ``serving.co_occurrence``; docs/quality.md says what it brings.

Q is found by subspace iteration (N. Halko, P.-G. Martinsson and J. Tropp, *Finding structure with
randomness*, SIAM Review 53(2), 2011), on a sample of users where there are many: memory grows with the items
only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.encoded_run import EncodedRun
from fmrec.artifacts.interactions import Interactions
from fmrec.dataset.hashing import hashes, units

Floats = npt.NDArray[np.float32]

MAXIMUM_PICKS = 10_000_000
"""About how many picks the items' vectors are found from. They are held in memory: 40 MB."""
PASSES = 6
"""Over those picks. Two more change NDCG@10 by less than another seed does."""
USERS_AT_ONCE = 10_000
SALT = 10
FLOATS_AT_ONCE = 1 << 23
"""Gathered at a time: 32 MiB."""


@dataclass(frozen=True)
class CoOccurrence:
    """The vectors of all items, and of any user by what they picked."""

    items: Floats
    """(items, factors)"""
    pick_weights: Floats
    """(items,) how much a pick of the item counts, n_i^-¼; 0 for an item that nobody picked."""

    @property
    def factors(self) -> int:
        return int(self.items.shape[1])

    def users(self, picks: Interactions, weights: npt.NDArray[np.float64] | None = None) -> Floats:
        """Vectors (users, factors), zeros for who picked nothing.

        Parameters
        ----------
        weights
            How much each pair of ``picks.items`` counts; 1 each by default.
        """
        each = self.pick_weights[picks.items]
        counts: npt.NDArray[Any] = picks.counts()
        if weights is not None:
            each = (each * weights).astype(np.float32)
            owners = np.repeat(np.arange(picks.users), counts)
            counts = np.bincount(owners, weights, minlength=picks.users)
        return _normalised(counts)[:, None] * _sums(self.items, picks, each)

    def user(self, picked: npt.NDArray[np.integer], weights: npt.NDArray[np.float64]) -> Floats:
        """The vector (factors,) of one user, who picked each of these items once."""
        each = self.pick_weights[picked] * weights
        found: Floats = each.astype(np.float32) @ self.items[picked]
        found *= _normalised(np.array([weights.sum()]))
        return found

    def contributions(
        self,
        picked: npt.NDArray[np.integer],
        weights: npt.NDArray[np.float64],
        items: npt.NDArray[np.integer],
    ) -> npt.NDArray[np.float64]:
        """What each of a user's picks gives to the products with some items, (items, picks)."""
        each = self.pick_weights[picked] * weights * _normalised(np.array([weights.sum()]))
        found: npt.NDArray[np.float64] = self.items[items].astype(np.float64) @ self.items[picked].T
        found *= each
        return found

    def typical_user(self, picks: int) -> tuple[npt.NDArray[np.float64], float]:
        """The mean vector (factors,) of users with so many picks of items by their popularity, and how far
        others are from it.
        """
        shares = np.zeros(len(self.items))
        known = self.pick_weights > 0
        shares[known] = self.pick_weights[known].astype(np.float64) ** -4
        shares /= max(float(shares.sum()), 1e-30)
        of_pick = shares * self.pick_weights
        mean = of_pick @ self.items
        square = float((of_pick * self.pick_weights) @ np.einsum("ij,ij->i", self.items, self.items))
        variance = max(square - float(mean @ mean), 0.0)
        return picks**0.75 * mean, picks**0.25 * math.sqrt(variance)

    def weighed(
        self,
        weight: float,
        of_model: tuple[npt.NDArray[Any], npt.NDArray[Any]],
        own: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    ) -> CoOccurrence | None:
        """The same with scores that spread as far as the weight says; None where nothing spreads.

        Parameters
        ----------
        weight
            The spread of these scores, where the model's is 1.
        of_model, own
            Vectors of some users and of some items, the model's and these.
        """
        model_spread, own_spread = spread(*of_model), spread(*own)
        if not (model_spread > 0 and own_spread > 0):
            return None
        root = np.float32(np.sqrt(weight * model_spread / own_spread))
        return replace(self, items=self.items * root)


def learn(picks: Iterable[Interactions], items: int, factors: int) -> CoOccurrence | None:
    """Find the highest singular vectors of the normalised picks.

    Parameters
    ----------
    picks
        Blocks of users and what each picked.
    items, factors
        How many items there are, and dimensions.

    Returns
    -------
    CoOccurrence or None
        The same for the same picks; None where nobody picked anything.
    """
    blocks = [part for block in picks for _, part in block.parts(FLOATS_AT_ONCE // factors)]
    found = sum((np.bincount(block.items, minlength=items) for block in blocks), np.zeros(items, np.int64))
    if not found.any():
        return None
    of_item = _normalised(found)[:, None]
    basis = np.random.default_rng(0).standard_normal((items, factors), np.float32) * (of_item > 0)
    for _ in range(PASSES):
        basis = np.linalg.qr(basis)[0]
        image = of_item * _gram(blocks, of_item * basis)
        inner = basis.T @ image
        last, basis = basis, image
    values, vectors = np.linalg.eigh((inner + inner.T).astype(np.float64) / 2)
    singular = np.sqrt(np.maximum(values[::-1], 0))
    vectors = (vectors[:, ::-1] * np.sqrt(singular / singular[0])).astype(np.float32)
    return CoOccurrence(last @ vectors, of_item[:, 0])


def learn_from(run: EncodedRun, factors: int) -> CoOccurrence | None:
    """`learn` from a run's training interactions that were liked; not from users left out of training."""
    share = MAXIMUM_PICKS / max(1, run.manifest.rows.train)

    def sampled() -> Iterator[Interactions]:
        for start in range(0, run.manifest.users, USERS_AT_ONCE):
            end = min(start + USERS_AT_ONCE, run.manifest.users)
            users = np.setdiff1d(np.arange(start, end), run.left_out(start, end), assume_unique=True)
            if share < 1:
                users = users[units(hashes(SALT, users)) < share]
            yield run.liked(start, end).take(users - start)

    return learn(sampled(), run.manifest.items, factors)


def spread(queries: npt.NDArray[Any], items: npt.NDArray[Any]) -> float:
    """The standard deviation of one query's products (queries, k) with all items (items, k), as the root mean
    square over the queries.
    """
    covariance = np.cov(items.astype(np.float64), rowvar=False, bias=True)
    variances = ((queries @ covariance) * queries).sum(axis=1)
    return float(np.sqrt(np.maximum(variances, 0).mean()))


def _gram(blocks: Iterable[Interactions], vectors: Floats) -> Floats:
    """Xᵀ D_u^-½ X times vectors (items, factors)."""
    found = np.zeros_like(vectors)
    for block in blocks:
        counts = block.counts()
        users = _normalised(counts)[:, None] ** 2 * _sums(vectors, block)
        order = np.argsort(block.items, kind="stable")
        by_item = block.items[order]
        starts = np.flatnonzero(np.diff(by_item, prepend=-1))
        owners = np.repeat(np.arange(block.users), counts)[order]
        found[by_item[starts]] += np.add.reduceat(users[owners], starts, axis=0)
    return found


def _sums(vectors: Floats, picks: Interactions, weights: Floats | None = None) -> Floats:
    """The sum of the vectors of each user's picks, (users, factors), each pick's times its weight."""
    found = np.empty((picks.users, vectors.shape[1]), np.float32)
    for start, part in picks.parts(FLOATS_AT_ONCE // vectors.shape[1]):
        of_picks = vectors[part.items]
        if weights is not None:
            first = picks.indptr[start]
            of_picks *= weights[first : first + len(part.items), None]
        found[start : start + part.users] = part.sums(of_picks)
    return found


def _normalised(counts: npt.NDArray[Any]) -> Floats:
    """Counts to the power of -¼, 0 for 0."""
    found = np.zeros(len(counts), np.float32)
    filled = counts > 0
    found[filled] = counts[filled] ** -0.25
    return found
