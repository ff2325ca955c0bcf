"""Rank with other recommenders what the workflow ranks: same users, same held-out films, same code.

Next to the model are `implicit`'s alternating least squares (Y. Hu, Y. Koren and C. Volinsky,
*Collaborative filtering for implicit feedback datasets*, ICDM 2008), the machine that learned ratings, and
what is popular.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from demo.cloud import Cloud
from fmrec.artifacts import layout
from fmrec.artifacts.encoded_run import EncodedRun, open_encoded
from fmrec.artifacts.interactions import Interactions
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.ranking.evaluation import Judge
from fmrec.ranking.popularity import most_popular
from fmrec.ranking.top_k import top_k

K = 10
ALS_FACTORS, ALS_REGULARIZATION, ALS_ITERATIONS, ALS_CONFIDENCE = 64, 60.0, 15, 10.0
"""Chosen on validation rows of the same training ratings, as the factorization machine's are."""

Vectors = NDArray[np.float32]


def download_encoding(cloud: Cloud, bucket: str, run: str, folder: Path) -> EncodedRun:
    """Copy what an encoding says of users and items, but for the channels, and open it."""
    s3 = cloud.client("s3")
    prefix = f"{layout.ENCODED}{run}/"
    for part in (layout.MANIFEST, layout.FEATURE_INDEX, layout.SEEN, layout.HELDOUT):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + part):
            for stored in page.get("Contents", []):
                path = folder / stored["Key"].removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, stored["Key"], str(path))
    return open_encoded(str(folder / layout.MANIFEST))


@dataclass(frozen=True)
class Arena:
    """Who is judged, and on what."""

    seen: Interactions
    """What each user interacted with in training; it is left out of every list."""
    liked: Interactions
    relevant: Interactions
    """The held-out films that each user liked."""
    items: int

    @classmethod
    def of(cls, run: EncodedRun) -> Arena:
        users = run.manifest.users
        return cls(*run.seen_and_liked(0, users), run.relevant(0, users), run.manifest.items)

    def metrics(self, users: Vectors, items: Vectors) -> dict[str, float]:
        """Judge the top `K` by inner product of (users, dim) and (items, dim)."""
        judged = np.flatnonzero(self.relevant.counts())
        met_by = np.bincount(self.seen.items, minlength=self.items)
        judge = Judge(K, met_by, self.seen.users)
        seen = self.seen.take(judged)
        judge.add(top_k(users[judged], items, K, seen), self.relevant.take(judged), seen.counts())
        found: dict[str, float] = judge.report()["metrics"]
        return found

    def popular(self, user: int) -> list[int]:
        """Ordinals of the films that most users rated, without what this user interacted with."""
        counts = np.bincount(self.seen.items, minlength=self.items)
        top = most_popular(counts, K, self.seen.take(np.array([user])))
        return [int(item) for item in top.items[0]]


def as_vectors(model: FactorizationMachine, users: int) -> tuple[Vectors, Vectors]:
    """Return a two-hot machine's queries (users, k + 1) and items (items, k + 1)."""
    factors, linear = model.factors.astype(np.float32), model.linear.astype(np.float32)
    queries = np.hstack([factors[:users], np.ones((users, 1), np.float32)])
    return queries, np.hstack([factors[users:], linear[users:, None]])


def alternating_least_squares(arena: Arena) -> tuple[Vectors, Vectors]:
    """Train `implicit`'s ALS on the films that users liked; return users' and items' factors."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    liked = arena.liked
    matrix: Any = csr_matrix(
        (np.full(len(liked.items), ALS_CONFIDENCE, np.float32), liked.items, liked.indptr),
        shape=(liked.users, arena.items),
    )
    with threadpool_limits(1, "blas"):  # the library has threads of its own
        model = AlternatingLeastSquares(
            factors=ALS_FACTORS,
            regularization=ALS_REGULARIZATION,
            iterations=ALS_ITERATIONS,
            random_state=0,
        )
        model.fit(matrix, show_progress=False)
    return model.user_factors, model.item_factors
