"""What to show users without interactions in training.

Everybody gets what is popular, overall or, with a file of users' segments (an age group, a country),
in their segment; it lies in the recommendations' table under keys of its own. A new user, or a new item,
that brings side features which the model was trained on gets better: `rank_by_features` scores it like
any other, exactly as the factorization machine does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmrec.artifacts.encoded_run import EncodedRun, open_encoded
from fmrec.artifacts.interactions import from_pairs
from fmrec.errors import InputError
from fmrec.ranking.popularity import most_popular
from fmrec.recommendations.filters import read_rules
from fmrec.recommendations.id_files import read_columns
from fmrec.recommendations.knn_output import Neighbours
from fmrec.recommendations.selection import Rules, rank_exactly, select
from fmrec.recommendations.table import (
    COLD_START,
    POPULARITY,
    Recommendation,
    UserRecommendations,
    Writer,
    dynamodb_client,
)

if TYPE_CHECKING:
    from fmrec.model.factorization_machine import FactorizationMachine

USERS_AT_A_TIME = 1_000_000
LONGEST_SEGMENT = 1000
"""Bytes: it is part of a key in DynamoDB, which may have 2,048 with the data set's name."""
MAXIMUM_COUNTS = 32_000_000
"""Segments × items that are counted: 8 bytes each, twice."""


def publish_popular(
    *,
    manifest_uri: str,
    table: str,
    per_user: int,
    model_version: str,
    filters: Mapping[str, Any] | None = None,
    segments_uri: str | None = None,
    dynamodb: Any = None,
) -> dict[str, int]:
    """Write the lists for cold-start users: one for everybody, one for each segment.

    Parameters
    ----------
    manifest_uri
        The run's manifest.json.
    per_user
        Length of the lists.
    filters
        Business rules, as for the model's lists.
    segments_uri
        CSV with the header ``user_id,segment``: which known users make up a segment. It is held in memory.

    Returns
    -------
    dict
        ``{"lists": number of lists written}``.

    Raises
    ------
    InputError
        The segments' file can't be used.
    SettingsError
        A filter makes no sense.
    ServiceError
        DynamoDB or S3 refused or failed.
    """
    encoded = open_encoded(manifest_uri)
    manifest, index = encoded.manifest, encoded.feature_index
    rules = read_rules(filters, manifest, index) if filters else Rules(np.zeros(manifest.items, bool))
    item_ids = index.names(*manifest.ranges["item"])
    overall = index.interactions(*manifest.ranges["item"])
    counts = {COLD_START: (overall, POPULARITY)}
    if segments_uri is not None:
        for segment, met_by in _count_segments(encoded, segments_uri).items():
            counts[f"{COLD_START}{segment}"] = (met_by, f"{POPULARITY} in {segment}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with Writer(table, dynamodb or dynamodb_client()) as writer:
        for key, (met_by, basis) in counts.items():
            recommendations = tuple(_popular(met_by, overall, min(per_user, manifest.items), item_ids, rules))
            list_ = UserRecommendations(
                key, recommendations, model_version, manifest.run, now, basis, manifest.dataset_name
            )
            writer.write([replace(list_, segments_uri=segments_uri) if key == COLD_START else list_])
    return {"lists": len(counts)}


def rank_by_features(
    model: FactorizationMachine, query: Any, items: Any, wanted: int, rules: Rules | None = None
) -> Neighbours:
    """The best items for somebody who is only known by features, exactly as the model scores them.

    Parameters
    ----------
    query
        SciPy sparse (users, feature_dim): the features of new users and of the context.
    items
        SciPy sparse (items, feature_dim): the features of each item, its own column among them if it has
        one; a new item has only side features. No column may be in use on both sides.
    wanted
        How many items each user gets.

    Returns
    -------
    Neighbours
        (users, wanted) rows of `items`, best first, -1 for none; ``products`` are the model's scores
        before the sigmoid.

    Raises
    ------
    InputError
        A feature is used by queries and by items, so that no inner product can rank them.
    """
    shared = np.intersect1d(query.indices, items.indices)
    if len(shared):
        raise InputError(
            f"feature column {shared[0]} is used by queries and by items: a feature that depends on both can't "
            "be folded into vectors; score the pairs with the model instead"
        )
    query_vectors, query_constants = model.fold(query)
    item_vectors, item_constants = model.fold(items)
    best = rank_exactly(
        np.hstack([query_vectors, np.ones((len(query_vectors), 1))]).astype(np.float32),
        np.hstack([item_vectors, item_constants[:, None]]).astype(np.float32),
        wanted,
        None,
        rules,
    )
    return Neighbours(best.items, best.products + (model.bias + query_constants)[:, None])


def _popular(
    counts: npt.NDArray[np.int64],
    overall: npt.NDArray[np.int64],
    wanted: int,
    item_ids: pa.Array,
    rules: Rules,
) -> Iterator[Recommendation]:
    """The most popular items that the rules allow; a score is the share of all interactions counted."""
    nobody = from_pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), 1)
    # Where a small segment doesn't tell items apart, everybody's taste does.
    order = counts * (int(overall.max(initial=0)) + 1) + overall
    everything = most_popular(order, len(order), nobody, rules.excluded)
    ranked = Neighbours(everything.items, everything.scores.astype(np.float64))
    best, _ = select(ranked, wanted, None, rules)
    total = max(int(counts.sum()), 1)
    for rank, item in enumerate(best.items[0][best.items[0] >= 0].tolist(), 1):
        yield Recommendation(item_ids[item].as_py(), float(counts[item]) / total, rank)


def _count_segments(encoded: EncodedRun, segments_uri: str) -> dict[str, npt.NDArray[np.int64]]:
    """How many users of each segment interacted with each item."""
    manifest = encoded.manifest
    user_ids, segments = (column[::-1] for column in read_columns(segments_uri, ("user_id", "segment")))
    encoded_segments = segments.dictionary_encode()
    numbers = encoded_segments.indices.to_numpy()
    names = [str(name) for name in encoded_segments.dictionary.to_pylist()]
    _check_segments(segments_uri, names, manifest.items)
    counts = np.zeros(len(names) * manifest.items, np.int64)
    first, last = manifest.ranges["user"]
    for start in range(first, last, USERS_AT_A_TIME):
        end = min(start + USERS_AT_A_TIME, last)
        # Reversed above, so that a user's last row counts.
        row = pc.index_in(encoded.feature_index.names(start, end), user_ids)
        number = np.full(end - start, -1, np.int64)
        named = row.is_valid().to_numpy(zero_copy_only=False)
        number[named] = numbers[row.drop_null().to_numpy()]
        seen = encoded.seen(start - first, end - first)
        number_of_pair = np.repeat(number, seen.counts())
        known = number_of_pair >= 0
        counts += np.bincount(
            number_of_pair[known] * manifest.items + seen.items[known], minlength=len(counts)
        )
    if not counts.any():
        raise InputError(f"{segments_uri} names no user of this run: are its ids those of the interactions?")
    return dict(sorted(zip(names, counts.reshape(len(names), -1), strict=True)))


def _check_segments(uri: str, names: list[str], items: int) -> None:
    """Refuse names that can't be a list's, and more of them than fit in memory."""
    for name in names:
        if not name or len(name.encode()) > LONGEST_SEGMENT:
            raise InputError(
                f"{uri} has the segment {name[:80]!r}: expected a name of 1 to {LONGEST_SEGMENT:,} bytes in each row"
            )
    if len(names) * items > MAXIMUM_COUNTS:
        raise InputError(
            f"{uri} has {len(names):,} segments, and there are {items:,} items: expected at most "
            f"{MAXIMUM_COUNTS // items:,} segments of so many items; use coarser ones"
        )
