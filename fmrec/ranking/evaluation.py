"""Judge ranked lists against held-out interactions, user by user, and sum up what was found.

A `Judge` is fed blocks of users and keeps a few numbers for each, so that memory grows with the judged
users but not with users × items. Two judges fed the same users can be compared in pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.ranking.intervals import bootstrap, paired_bootstrap
from fmrec.ranking.metrics import PER_USER, accuracy_metrics, coverage, diversity, novelty
from fmrec.ranking.top_k import Top

POPULARITY_SEGMENTS = ("head", "middle", "tail")
"""Items by what they make up of all interactions: the most popular third, the next, the last."""
ACTIVITY_SEGMENTS = ("light", "medium", "heavy")
"""Users by thirds of history length."""


class Judge:
    """Collects the judgement of one recommender.

    Parameters
    ----------
    k
        Length of the lists.
    met_by
        (items,) how many training users interacted with each item.
    users
        How many training users there are.
    vectors
        (items, factors), for how unlike the items of a list are; without them that isn't judged.
    """

    def __init__(
        self,
        k: int,
        met_by: npt.NDArray[np.int64],
        users: int,
        vectors: npt.NDArray[np.floating] | None = None,
    ) -> None:
        self.k = k
        self._vectors = vectors
        self._met_by = met_by
        self._users = max(users, 1)
        self._values: dict[str, list[npt.NDArray[np.float64]]] = {
            name: [] for name in (*PER_USER, *(() if vectors is None else ("diversity",)))
        }
        self._history: list[npt.NDArray[np.int64]] = []
        self._recommended = np.zeros(len(met_by), np.int64)
        self._relevant = np.zeros(len(met_by), np.int64)
        self._hits = np.zeros(len(met_by), np.int64)

    def add(self, top: Top, relevant: Interactions, history: npt.NDArray[np.int64]) -> None:
        """Judge a block of users.

        Parameters
        ----------
        top
            (users, k) lists.
        relevant
            Held-out items that each of these users liked; at least one each.
        history
            (users,) how many items each interacted with in training.
        """
        if top.items.shape != (relevant.users, self.k) or len(history) != relevant.users:
            raise InputError(
                f"lists have shape {top.items.shape}, expected ({relevant.users}, {self.k}): one a judged user"
            )
        hits = relevant.contains(np.arange(relevant.users)[:, None], top.items)
        values = accuracy_metrics(hits, relevant.counts())
        values["novelty"] = novelty(top.items, self._met_by, self._users)
        if self._vectors is not None:
            values["diversity"] = diversity(top.items, self._vectors)
        for name, found in self._values.items():
            found.append(values[name])
        self._history.append(np.asarray(history, np.int64))
        items = len(self._met_by)
        self._recommended += np.bincount(top.items[top.items >= 0], minlength=items)
        self._relevant += np.bincount(relevant.items, minlength=items)
        self._hits += np.bincount(top.items[hits], minlength=items)

    def per_user(self, metric: str) -> npt.NDArray[np.float64]:
        """The metric of each judged user, in the order of judgement, (users,)."""
        return np.concatenate([np.zeros(0), *self._values[metric]])

    def report(self) -> dict[str, Any]:
        """Everything about this recommender as a JSON document.

        Returns
        -------
        dict
            ``users``; ``metrics``, name with cut-off → mean over users; ``intervals``, the same → 95 %
            bounds; ``segments``, by user activity and by item popularity.

        Raises
        ------
        InputError
            No user was judged.
        """
        metrics: dict[str, float] = {}
        intervals: dict[str, list[float]] = {}
        for name in self._values:
            interval = bootstrap(self.per_user(name))
            metrics[self._name(name)] = interval.mean
            intervals[self._name(name)] = [interval.low, interval.high]
        metrics[self._name("coverage")] = coverage(self._recommended > 0)
        return {
            "users": len(self.per_user("ndcg")),
            "metrics": metrics,
            "intervals": intervals,
            "segments": {"user_activity": self._by_activity(), "item_popularity": self._by_popularity()},
        }

    def compare(self, other: Judge) -> dict[str, dict[str, float]]:
        """How much better this recommender is for the same users: metric → mean difference and bounds."""
        compared = {}
        for name in self._values:
            difference = paired_bootstrap(self.per_user(name), other.per_user(name))
            compared[self._name(name)] = {
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
            }
        return compared

    def _name(self, metric: str) -> str:
        return f"{metric}_at_{self.k}"

    def _by_activity(self) -> list[dict[str, Any]]:
        history = np.concatenate(self._history)
        bounds = np.quantile(history, [1 / 3, 2 / 3])
        segment_of = np.searchsorted(bounds, history, side="left")
        found = []
        for number, segment in enumerate(ACTIVITY_SEGMENTS):
            inside = segment_of == number
            if not inside.any():
                continue
            found.append(
                {
                    "segment": segment,
                    "history": [int(history[inside].min()), int(history[inside].max())],
                    "users": int(inside.sum()),
                    **{
                        self._name(name): float(self.per_user(name)[inside].mean())
                        for name in ("ndcg", "recall", "hit_rate")
                    },
                }
            )
        return found

    def _by_popularity(self) -> list[dict[str, Any]]:
        order = np.argsort(-self._met_by, kind="stable")
        before = np.cumsum(self._met_by[order]) - self._met_by[order]
        total = max(int(self._met_by.sum()), 1)
        segment_of = np.empty(len(order), np.int64)
        segment_of[order] = np.minimum(
            before * len(POPULARITY_SEGMENTS) // total, len(POPULARITY_SEGMENTS) - 1
        )
        recommended = max(int(self._recommended.sum()), 1)
        found = []
        for number, segment in enumerate(POPULARITY_SEGMENTS):
            inside = segment_of == number
            relevant = int(self._relevant[inside].sum())
            found.append(
                {
                    "segment": segment,
                    "items": int(inside.sum()),
                    "relevant": relevant,
                    self._name("recall"): float(self._hits[inside].sum() / relevant) if relevant else None,
                    "share_of_recommendations": float(self._recommended[inside].sum() / recommended),
                }
            )
        return found
