"""The workflow's evaluation step: rank all items for the held-out users and judge the lists.

Reads a run's embeddings and what the encoding job held out (docs/contracts.md) and judges the model
compared with two popularity baselines, simple models and, if there is one, the champion that serves now, all
on the same users. Only users with a held-out item that they liked are judged; of very many, a random sample
is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmrec.artifacts.embedded_run import Run, Vectors, open_run
from fmrec.artifacts.interactions import Interactions
from fmrec.errors import InputError
from fmrec.ranking.evaluation import Judge
from fmrec.ranking.popularity import most_popular
from fmrec.ranking.simple_models import MAXIMUM_ITEMS, MAXIMUM_SECONDS, simple_models
from fmrec.ranking.top_k import Top, top_k
from fmrec.storage import object_store

JudgeFoldedIn = Callable[[Run, Vectors, npt.NDArray[np.int64], int, int], dict[str, Any]]
"""Called with a run, its item vectors, how many users interacted with each item, k and a seed."""
MAXIMUM_USERS = 200_000
"""A sample of so many users leaves an interval of about ± 0.0015 around NDCG."""


def evaluate(
    *,
    manifest_uri: str,
    embeddings_uri: str,
    k: int = 10,
    champion: dict[str, str] | None = None,
    output_uri: str | None = None,
    maximum_users: int = MAXIMUM_USERS,
    maximum_items: int = MAXIMUM_ITEMS,
    maximum_seconds: float = MAXIMUM_SECONDS,
    seed: int = 0,
    judge_folded_in: JudgeFoldedIn | None = None,
) -> dict[str, Any]:
    """Judge a run's top-k.

    Parameters
    ----------
    manifest_uri, embeddings_uri
        The run's manifest.json and embeddings.json.
    k
        Length of the lists.
    champion
        ``manifest_uri`` and ``embeddings_uri`` of the run that serves now. It is judged on this run's
        held-out interactions; who it doesn't know gets nothing from it, and what it doesn't know it never
        recommends.
    output_uri
        Where to write the report as JSON as well.
    maximum_users
        Judge a random sample where more users have something held out.
    maximum_items, maximum_seconds
        Limits of the simple models (`fmrec.ranking.simple_models`).
    judge_folded_in
        `fmrec.live.evaluation_step.judge_folded_in`, which knows users whom training never saw.

    Returns
    -------
    dict
        ``k``, ``users``, ``items``; ``model``, ``baselines`` (``most_rated``, ``most_liked``) and
        ``champion``, and ``simple_models`` (``ease``, ``item_knn``, ``als``, as far as they were fitted),
        each as `Judge.report`; ``simple_models_why``, a sentence where one is missing; ``comparisons``, of
        the model with each of the others, as `Judge.compare`; ``folded_in``, what ``judge_folded_in`` found,
        or None; ``seconds``.

    Raises
    ------
    InputError
        Nothing that a user liked was held out.
    FormatError
        A file is not as docs/contracts.md says.
    """
    started = time.monotonic()
    if k < 1:
        raise InputError(f"k is {k}, expected at least 1")
    run = open_run(manifest_uri, embeddings_uri)
    sampled = _judged_users(run, maximum_users, seed)
    popularity = _count(run)
    simple, why = simple_models(
        lambda: (run.seen(part.first_user, part.end_user) for part in run.query_parts),
        lambda: (run.liked(part.first_user, part.end_user) for part in run.query_parts),
        run.manifest.items,
        interactions=int(popularity["most_rated"].sum()),
        picks=int(popularity["most_liked"].sum()),
        maximum_items=maximum_items,
        maximum_seconds=maximum_seconds,
    )
    items = run.item_vectors()
    judges = {
        # All by this model's vectors: how unlike two items are mustn't depend on who lists them.
        name: Judge(k, popularity["most_rated"], run.manifest.users, items[:, :-1])
        for name in ("model", *popularity, *simple, *(() if champion is None else ("champion",)))
    }
    old = None
    if champion is not None:
        old = _Champion.of(open_run(champion["manifest_uri"], champion["embeddings_uri"]), run, sampled)
    for part in run.query_parts:
        users = sampled[(sampled >= part.first_user) & (sampled < part.end_user)] - part.first_user
        if not len(users):
            continue
        relevant = run.relevant(part.first_user, part.end_user).take(users)
        seen, liked = (pairs.take(users) for pairs in run.seen_and_liked(part.first_user, part.end_user))
        tops = {name: most_popular(counts, k, seen) for name, counts in popularity.items()}
        tops |= {name: model.top(liked, seen, k) for name, model in simple.items()}
        tops["model"] = top_k(run.query_vectors(part)[users], items, k, seen)
        if old is not None:
            tops["champion"] = old.top(part.first_user + users, k, seen)
        for name, top in tops.items():
            judges[name].add(top, relevant, seen.counts())
    report = {
        "k": k,
        "users": len(sampled),
        "items": run.manifest.items,
        "run": run.manifest.run,
        "model": judges["model"].report(),
        "baselines": {name: judges[name].report() for name in popularity},
        "simple_models": {name: judges[name].report() for name in simple},
        "simple_models_why": why,
        "champion": judges["champion"].report() if old is not None else None,
        "comparisons": {
            name: judges["model"].compare(judge) for name, judge in judges.items() if name != "model"
        },
        "folded_in": None
        if judge_folded_in is None
        else judge_folded_in(run, items, popularity["most_rated"], k, seed),
    }
    report["seconds"] = round(time.monotonic() - started, 3)
    if output_uri is not None:
        text = json.dumps(report, indent=2, allow_nan=False) + "\n"
        object_store.write_bytes(output_uri, text.encode())
    return report


def _count(run: Run) -> dict[str, npt.NDArray[np.int64]]:
    """How many users interacted with, and liked, each item in training: (items,) each."""
    rated = np.zeros(run.manifest.items, np.int64)
    liked = np.zeros(run.manifest.items, np.int64)
    for part in run.query_parts:
        seen, good = run.seen_and_liked(part.first_user, part.end_user)
        rated += np.bincount(seen.items, minlength=len(rated))
        liked += np.bincount(good.items, minlength=len(liked))
    return {"most_rated": rated, "most_liked": liked}


def _judged_users(run: Run, maximum: int, seed: int) -> npt.NDArray[np.int64]:
    """Ordinals of the users to judge, ascending."""
    found = [np.zeros(0, np.int64)]
    for part in run.query_parts:
        relevant: Interactions = run.relevant(part.first_user, part.end_user)
        found.append(part.first_user + np.flatnonzero(relevant.counts()))
    users = np.concatenate(found)
    if not len(users):
        raise InputError(
            "no user has a held-out item that they liked, so top-N can't be judged: choose a split that "
            "holds interactions out (leave-last-n, leave-first-n, time or random)"
        )
    if len(users) > maximum:
        users = np.sort(np.random.default_rng(seed).choice(users, maximum, replace=False))
    return users


@dataclass(frozen=True)
class _Champion:
    """Another run's vectors, by this run's ordinals."""

    run: Run
    items: npt.NDArray[np.float32]
    unknown: npt.NDArray[np.bool_]
    users: npt.NDArray[np.int64]
    """The judged users, ascending, and below their ordinals in the champion's run, -1 for unknown ones."""
    known_as: npt.NDArray[np.int64]

    @classmethod
    def of(cls, champion: Run, run: Run, users: npt.NDArray[np.int64]) -> _Champion:
        """Find the champion's vectors of all items and the ordinals of the judged users."""
        item_ids = run.feature_index.names(*run.manifest.ranges["item"])
        items = _ordinals(champion, "item", item_ids)
        first, last = run.manifest.ranges["user"]
        start, judged = 0, [pa.array([], pa.string())]
        for names in run.feature_index.stream(first, last):
            inside = users[np.searchsorted(users, start) : np.searchsorted(users, start + len(names))]
            judged.append(names.take(pa.array(inside - start)))
            start += len(names)
        known_as = _ordinals(champion, "user", pa.concat_arrays(judged))
        return cls(champion, champion.item_vectors()[np.maximum(items, 0)], items < 0, users, known_as)

    def top(self, users: npt.NDArray[np.int64], k: int, seen: Interactions) -> Top:
        """What the champion would give to some of the judged users; nothing to those it doesn't know."""
        wanted = self.known_as[np.searchsorted(self.users, users)]
        top = top_k(self.run.queries_of(wanted), self.items, k, seen, self.unknown)
        top.items[wanted < 0] = -1
        return top


def _ordinals(run: Run, namespace: str, names: pa.Array) -> npt.NDArray[np.int64]:
    """The run's ordinals of users or items by name, -1 for unknown ones; its names pass in a stream."""
    found = np.full(len(names), -1, np.int64)
    start = 0
    for own in run.feature_index.stream(*run.manifest.ranges[namespace]):
        at = pc.index_in(own, names)
        here = at.is_valid().to_numpy(zero_copy_only=False)
        found[at.drop_null().to_numpy()] = start + np.flatnonzero(here)
        start += len(own)
    return found
