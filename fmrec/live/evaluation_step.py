"""The workflow's second table: what users get who are folded in, by how much is known of them.

Those are users left out of training. Where nobody was, trained users stand in for them, on whom λ and c were
not chosen: their own vectors are left aside, and they are folded in from their histories. Items have learned
from these histories, so that the figures are somewhat better than those of new users; the report says which
they are (``basis``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.embedded_run import Run, Vectors
from fmrec.artifacts.fold_in_parameters import Basis
from fmrec.live.choosing_step import Sample, trained_users, users_left_out
from fmrec.live.evaluation import judge
from fmrec.live.live_model import open_fold_in
from fmrec.ranking.evaluation import Judge
from fmrec.ranking.top_k import top_k

MAXIMUM_USERS, MAXIMUM_SCORES = 2_000, 200_000_000
"""Users who are judged; fewer where users × items is more than that, so that it takes about a minute."""


def judge_folded_in(
    run: Run, items: Vectors, met_by: npt.NDArray[np.int64], k: int, seed: int
) -> dict[str, Any]:
    """Judge lists of users who are folded in with the model's λ and c.

    Parameters
    ----------
    items
        The run's item vectors.
    met_by
        (items,) how many users have interacted with each item in training.
    k
        Length of the lists.

    Returns
    -------
    dict
        ``basis``, ``users``, ``regularization``, ``negative_weight``, ``chosen_on`` (how many users those two
        were chosen on, 0 for the defaults); ``by_interactions`` (``all``, ``10``, ``5``, ``3``, ``1``) and
        ``popularity``, each ``{metrics, intervals}``; ``ndcg_ratio``, of all to popularity; ``comparison``,
        of all with popularity; ``own_vectors``, of trained users. ``users`` is 0, and ``why`` a sentence,
        where nobody can be judged.
    """
    random = np.random.default_rng(seed)
    wanted = max(1, min(MAXIMUM_USERS, MAXIMUM_SCORES // max(run.manifest.items, 1)))
    found = users_left_out(run, wanted, random, judged=True)
    basis = Basis.LEFT_OUT if len(found) else Basis.TRAINED
    if basis is Basis.LEFT_OUT:
        # What is popular must not know what these users did.
        met_by = met_by - np.bincount(found.seen.items, minlength=len(met_by))
    else:
        found = trained_users(run, wanted, random, choosing=False)
    folding_in = run.folding_in
    said: dict[str, Any] = {
        "basis": str(basis),
        "users": len(found),
        "regularization": folding_in.regularization,
        "negative_weight": folding_in.negative_weight,
        "chosen_on": folding_in.users,
    }
    if not len(found):
        return said | {"why": "nobody has both a history and held-out interactions that they liked"}
    if run.bias is None:
        return said | {"users": 0, "why": "the embeddings have no 'bias': an earlier version exported them"}
    report = judge(
        open_fold_in(run, folding_in, items), found.liked, found.seen, found.relevant, met_by, run.manifest.users,
        k=k, seed=seed,
    )  # fmt: skip
    name = f"ndcg_at_{k}"
    popular = float(report["popularity"]["metrics"][name])
    ours = float(report["by_interactions"]["all"]["metrics"][name])
    said |= {
        "by_interactions": {length: _short(each) for length, each in report["by_interactions"].items()},
        "popularity": _short(report["popularity"]),
        "ndcg_ratio": ours / max(popular, SMALLEST_NDCG),
        "comparison": report["comparison"],
    }
    if basis is Basis.TRAINED:
        said["own_vectors"] = _short(_own_vectors(run, items, found, met_by, k))
    return said


SMALLEST_NDCG = 1e-6
"""Stands in for a popularity's of 0 in a ratio."""


def _own_vectors(
    run: Run, items: Vectors, found: Sample, met_by: npt.NDArray[np.int64], k: int
) -> dict[str, Any]:
    """Judge the same users by the vectors that training gave them."""
    own = Judge(k, met_by, run.manifest.users)
    own.add(top_k(run.queries_of(found.users), items, k, found.seen), found.relevant, found.seen.counts())
    return own.report()


def _short(report: dict[str, Any]) -> dict[str, Any]:
    """A report without its segments: a state machine's variables are small."""
    return {key: report[key] for key in ("metrics", "intervals")}
