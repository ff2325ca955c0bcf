"""Publish one query part's top-N: k-NN's answers joined with ids, into DynamoDB and Parquet.

score = product + offset, with the query's offset ``w_0 + w_u`` (the FM → k-NN construction:
``y(u, i) = w_0 + w_u + [V_u, 1]·[V_i, w_i]``), through the sigmoid where the labels are binary, as
SageMaker's binary_classifier scores. Users come a block of lines at a time; memory depends on the block
and on the number of items, not on the number of users.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fmrec.artifacts.embedded_run import QueryPart, Run, open_run
from fmrec.artifacts.feature_index import NameReader
from fmrec.artifacts.manifest import Manifest
from fmrec.errors import FormatError, InputError
from fmrec.recommendations.filters import read_rules
from fmrec.recommendations.knn_output import Neighbours, read_neighbours
from fmrec.recommendations.selection import Rules, rank_exactly, select
from fmrec.recommendations.table import Recommendation, UserRecommendations, Writer, dynamodb_client
from fmrec.storage import object_store

PARQUET_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("model_version", pa.string()),
    ]
)


def publish(
    *,
    manifest_uri: str,
    embeddings_uri: str,
    neighbours_uri: str,
    output_uri: str,
    table: str,
    part: int,
    per_user: int,
    model_version: str,
    exclude_seen: bool = False,
    filters: Mapping[str, Any] | None = None,
    dynamodb: Any = None,
) -> dict[str, int]:
    """Publish the top `per_user` items of every user of one query part.

    Parameters
    ----------
    manifest_uri, embeddings_uri
        The run's manifest.json and embeddings.json.
    neighbours_uri
        Folder of the batch transform's output: ``<query part's name>.out`` each.
    output_uri
        Folder that gets ``part-<number>.parquet``.
    table
        DynamoDB table, keyed by ``user_id``.
    part
        Which of the query parts, from 0.
    per_user
        How many recommendations each user gets; fewer only if fewer items are allowed.
    exclude_seen
        Leave out what a user interacted with in training. Users for whom k-NN's neighbours are not enough are
        then ranked again over all items.
    filters
        Business rules, see `fmrec.recommendations.filters`.
    dynamodb
        A botocore client; by default one made from the environment.

    Returns
    -------
    dict
        ``{"users", "recommendations", "ranked_exactly"}``: what was written, and for how many users
        k-NN's neighbours were not enough.

    Raises
    ------
    FormatError
        The answers don't fit the queries: too few or too many lines, too few neighbours, unknown labels.
    ServiceError
        DynamoDB or S3 refused or failed.
    """
    run = open_run(manifest_uri, embeddings_uri)
    queries = run.query_part(part)
    if per_user < 1:
        raise InputError(f"per_user is {per_user}, expected at least 1")
    rules = read_rules(filters, run.manifest, run.feature_index) if filters else None
    chooser = _Chooser(run, queries, neighbours_uri, per_user, exclude_seen, rules)
    users = run.manifest.ranges["user"]
    item_ids = run.feature_index.names(*run.manifest.ranges["item"])
    user_ids = NameReader(
        run.feature_index.stream(users[0] + queries.first_user, users[0] + queries.end_user)
    )
    generated_at = datetime.now(UTC).isoformat(timespec="seconds")
    counts = {"users": 0, "recommendations": 0, "ranked_exactly": 0}
    destination = object_store.join(output_uri, f"part-{part:05d}.parquet")
    with (
        Writer(table, dynamodb or dynamodb_client()) as items_out,
        object_store.open_output(destination) as file,
        pq.ParquetWriter(file, PARQUET_SCHEMA) as parquet,
    ):
        for block in chooser.blocks():
            ids = user_ids.take(len(block.best.items))
            rows = _rows(ids, item_ids, block, model_version)
            parquet.write_table(rows)
            items_out.write(_users(ids, block, rows, model_version, run.manifest, generated_at))
            counts["users"] += len(ids)
            counts["recommendations"] += rows.num_rows
            counts["ranked_exactly"] += block.ranked_exactly
    return counts


def neighbours_source(neighbours_uri: str, query_key: str) -> str:
    """Where batch transform put the answers to one query object."""
    return object_store.join(neighbours_uri, query_key.rsplit("/", 1)[-1] + ".out")


@dataclass(frozen=True)
class _Block:
    """What consecutive users get: (users, n) items and products, -1 for none, and scores."""

    best: Neighbours
    scores: npt.NDArray[np.float64]
    ranked_exactly: int


@dataclass(frozen=True)
class _Chooser:
    """Turns the neighbours of one query part into what its users get."""

    run: Run
    queries: QueryPart
    neighbours_uri: str
    per_user: int
    exclude_seen: bool
    rules: Rules | None

    def blocks(self) -> Iterator[_Block]:
        """Blocks of consecutive users; exactly the part's users."""
        source = neighbours_source(self.neighbours_uri, self.queries.key)
        offsets = self.run.offsets(self.queries)
        items = self.run.manifest.items
        done = 0
        with object_store.open_input(source) as stream:
            for ranked in read_neighbours(stream, source, items):
                until = done + len(ranked.items)
                if until > self.queries.rows:
                    raise FormatError(
                        f"{source} answers more than the {self.queries.rows} queries of its part: it is of "
                        "another run"
                    )
                best, exact = self._choose(ranked, done, source)
                yield _Block(best, self.run.scores(best.products, offsets[done:until]), exact)
                done = until
        if done != self.queries.rows:
            raise FormatError(
                f"{source} answers {done} queries, but its part has {self.queries.rows} users: the batch "
                "transform didn't finish, or is of another run"
            )

    def _choose(self, ranked: Neighbours, first: int, source: str) -> tuple[Neighbours, int]:
        items = self.run.manifest.items
        wanted = min(self.per_user, items)
        found = ranked.items.shape[1]
        if found < wanted:
            raise FormatError(
                f"{source} has {found} neighbours a user, {wanted} are to be published: train k-NN with k "
                f"of at least {wanted}"
            )
        if not self.exclude_seen and self.rules is None:
            return Neighbours(ranked.items[:, :wanted], ranked.products[:, :wanted]), 0
        start = self.queries.first_user + first
        seen = self.run.seen(start, start + len(ranked.items)) if self.exclude_seen else None
        best, short = select(ranked, wanted, seen, self.rules)
        if found == items or not short.any():
            return best, 0
        users = np.flatnonzero(short)
        exact = rank_exactly(
            self._query_vectors[first + users],
            self._item_vectors,
            wanted,
            seen.take(users) if seen is not None else None,
            self.rules,
        )
        best.items[users], best.products[users] = exact.items, exact.products
        return best, len(users)

    # Read only where k-NN's neighbours are not enough for somebody.
    @functools.cached_property
    def _query_vectors(self) -> npt.NDArray[np.float32]:
        return self.run.query_vectors(self.queries)

    @functools.cached_property
    def _item_vectors(self) -> npt.NDArray[np.float32]:
        return self.run.item_vectors()


def _rows(user_ids: pa.Array, item_ids: pa.Array, block: _Block, model_version: str) -> pa.Table:
    user, rank = np.nonzero(block.best.items >= 0)
    return pa.table(
        [
            user_ids.take(pa.array(user)),
            pa.array((rank + 1).astype(np.int32)),
            item_ids.take(pa.array(block.best.items[user, rank])),
            pa.array(block.scores[user, rank]),
            pa.repeat(pa.scalar(model_version), len(user)),
        ],
        schema=PARQUET_SCHEMA,
    )


def _users(
    user_ids: pa.Array,
    block: _Block,
    rows: pa.Table,
    model_version: str,
    manifest: Manifest,
    generated_at: str,
) -> Iterator[UserRecommendations]:
    """The same rows as one document a user, for DynamoDB; a user who may get nothing has an empty list."""
    columns = (rows[name].to_pylist() for name in ("item_id", "score", "rank"))
    recommendations = list(map(Recommendation, *columns))
    ends = np.cumsum(np.count_nonzero(block.best.items >= 0, axis=1)).tolist()
    start = 0
    for user_id, end in zip(user_ids.to_pylist(), ends, strict=True):
        yield UserRecommendations(
            user_id,
            tuple(recommendations[start:end]),
            model_version,
            manifest.run,
            generated_at,
            dataset=manifest.dataset_name,
        )
        start = end
