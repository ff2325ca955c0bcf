"""Publish one query part's top-N: k-NN's answers joined with ids, into DynamoDB and Parquet.

score = product + offset, with the query's offset ``w_0 + w_u`` (facts of the FM → k-NN construction:
``y(u, i) = w_0 + w_u + [V_u, 1]·[V_i, w_i]``), through the sigmoid where the labels are binary, as
SageMaker's binary_classifier scores. Users come a block of lines at a time; memory depends on the block
and on the number of items, not on the number of users.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fmrec import objectstore
from fmrec.errors import FormatError, InputError
from fmrec.manifest import Manifest
from fmrec.recommendations.feature_index import FeatureIndex, NameReader
from fmrec.recommendations.neighbours import Neighbours, read_neighbours
from fmrec.recommendations.table import Recommendation, UserRecommendations, Writer, dynamodb_client

PARQUET_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("model_version", pa.string()),
    ]
)


@dataclass(frozen=True)
class QueryPart:
    """One part of the queries, as embeddings.json lists it."""

    key: str
    offsets_key: str
    first_user: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Run:
    """What the parts of one run share: sizes, names and how products become scores."""

    manifest: Manifest
    manifest_uri: str
    embeddings_uri: str
    query_parts: tuple[QueryPart, ...]

    @property
    def binary(self) -> bool:
        """Whether labels are 0/1, so that a score is a probability."""
        return self.manifest.train.positive_share is not None

    def feature_index(self) -> FeatureIndex:
        return FeatureIndex(objectstore.join(_folder(self.manifest_uri), "feature_index/"))

    def query(self, user: int) -> bytes:
        """The recordIO-protobuf record of one user's query vector, as the batch transform got it."""
        part = next((p for p in self.query_parts if p.first_user <= user < p.first_user + p.rows), None)
        if part is None:
            raise InputError(
                f"there is no user {user}: {self.embeddings_uri} has {self.manifest.users}, from 0"
            )
        # Dense records of one dimension are equally long.
        size = part.bytes // part.rows
        with objectstore.open_input(objectstore.join(_folder(self.embeddings_uri), part.key)) as file:
            file.seek((user - part.first_user) * size)
            return file.read(size)

    def offsets(self, part: QueryPart) -> npt.NDArray[np.float64]:
        """float64 (rows,): what to add to a user's products."""
        uri = objectstore.join(_folder(self.embeddings_uri), part.offsets_key)
        offsets: npt.NDArray[np.float64] = np.load(
            io.BytesIO(objectstore.read_bytes(uri)), allow_pickle=False
        )
        if offsets.shape != (part.rows,):
            raise FormatError(f"{uri} has shape {offsets.shape}, expected ({part.rows},): one offset a user")
        return offsets

    def scores(
        self, products: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Scores (users, n) of products (users, n) and offsets (users,)."""
        scores: npt.NDArray[np.float64] = products + offsets[:, None]
        return _sigmoid(scores) if self.binary else scores


def open_run(manifest_uri: str, embeddings_uri: str) -> Run:
    """Read manifest.json and embeddings.json.

    Raises
    ------
    FormatError
        One of them is not what docs/contracts.md says, or they are of different runs.
    """
    manifest = Manifest.from_json(objectstore.read_bytes(manifest_uri))
    try:
        document = json.loads(objectstore.read_bytes(embeddings_uri))
        sizes = (int(document["users"]), int(document["items"]))
        parts = tuple(
            QueryPart(p["key"], p["offsets_key"], int(p["first_user"]), int(p["rows"]), int(p["bytes"]))
            for p in document["query_parts"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{embeddings_uri} lacks or misstates something: {error!r}") from error
    if sizes != (manifest.users, manifest.items):
        raise FormatError(
            f"{embeddings_uri} has {sizes[0]} users and {sizes[1]} items, {manifest_uri} has "
            f"{manifest.users} and {manifest.items}: they are not of the same run"
        )
    return Run(manifest, manifest_uri, embeddings_uri, parts)


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
        How many recommendations each user gets; fewer only if there are fewer items.
    dynamodb
        A botocore client; by default one made from the environment.

    Returns
    -------
    dict
        ``{"users", "recommendations"}``, what was written.

    Raises
    ------
    FormatError
        The answers don't fit the queries: too few or too many lines, too few neighbours, unknown labels.
    ServiceError
        DynamoDB or S3 refused or failed.
    """
    run = open_run(manifest_uri, embeddings_uri)
    if not 0 <= part < len(run.query_parts):
        raise InputError(
            f"there is no query part {part}: {embeddings_uri} lists {len(run.query_parts)}, from 0"
        )
    if per_user < 1:
        raise InputError(f"per_user is {per_user}, expected at least 1")
    queries = run.query_parts[part]
    index = run.feature_index()
    users, items = run.manifest.ranges["user"], run.manifest.ranges["item"]
    item_ids = index.names(*items)
    first_column = users[0] + queries.first_user
    user_ids = NameReader(index.stream(first_column, first_column + queries.rows))
    generated_at = datetime.now(UTC).isoformat(timespec="seconds")
    users_written = recommendations_written = 0
    destination = objectstore.join(output_uri, f"part-{part:05d}.parquet")
    with (
        Writer(table, dynamodb or dynamodb_client()) as items_out,
        objectstore.open_output(destination) as file,
        pq.ParquetWriter(file, PARQUET_SCHEMA) as parquet,
    ):
        for top, scores in _top(run, queries, neighbours_uri, per_user):
            block_ids = user_ids.take(len(scores))
            rows = _rows(block_ids, item_ids, top, scores, model_version)
            parquet.write_table(rows)
            items_out.write(_users(rows, len(scores), model_version, run.manifest.run, generated_at))
            users_written += len(scores)
            recommendations_written += rows.num_rows
    return {"users": users_written, "recommendations": recommendations_written}


def neighbours_source(neighbours_uri: str, query_key: str) -> str:
    """Where batch transform put the answers to one query object."""
    return objectstore.join(neighbours_uri, query_key.rsplit("/", 1)[-1] + ".out")


def _top(
    run: Run, queries: QueryPart, neighbours_uri: str, per_user: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Item ordinals and scores of consecutive users, best first; exactly the part's users."""
    source = neighbours_source(neighbours_uri, queries.key)
    offsets = run.offsets(queries)
    wanted = min(per_user, run.manifest.items)
    done = 0
    with objectstore.open_input(source) as stream:
        for block in read_neighbours(stream, source, run.manifest.items):
            until = done + len(block.items)
            if until > queries.rows:
                break
            best = _best(block, wanted, source)
            yield best.items, run.scores(best.products, offsets[done:until])
            done = until
        else:
            if done == queries.rows:
                return
            raise FormatError(
                f"{source} answers {done} queries, but its part has {queries.rows} users: the batch "
                "transform didn't finish, or is of another run"
            )
    raise FormatError(
        f"{source} answers more than the {queries.rows} queries of its part: it is of another run"
    )


def _best(block: Neighbours, wanted: int, source: str) -> Neighbours:
    found = block.items.shape[1]
    if found < wanted:
        raise FormatError(
            f"{source} has {found} neighbours a user, {wanted} are to be published: train k-NN with k of at "
            f"least {wanted}"
        )
    return Neighbours(block.items[:, :wanted], block.products[:, :wanted])


def _rows(
    user_ids: pa.Array,
    item_ids: pa.Array,
    top: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    model_version: str,
) -> pa.Table:
    users, count = scores.shape
    return pa.table(
        [
            user_ids.take(pa.array(np.repeat(np.arange(users), count))),
            pa.array(np.tile(np.arange(1, count + 1, dtype=np.int32), users)),
            item_ids.take(pa.array(top.ravel())),
            pa.array(scores.ravel()),
            pa.repeat(pa.scalar(model_version), users * count),
        ],
        schema=PARQUET_SCHEMA,
    )


def _users(
    rows: pa.Table, users: int, model_version: str, run: str, generated_at: str
) -> Iterator[UserRecommendations]:
    """The same rows as one document a user, for DynamoDB."""
    user_ids, ranks, item_ids, scores = (
        rows[name].to_pylist() for name in ("user_id", "rank", "item_id", "score")
    )
    count = rows.num_rows // users
    recommendations = list(map(Recommendation, item_ids, scores, ranks))
    for at in range(0, rows.num_rows, count):
        yield UserRecommendations(
            user_ids[at], tuple(recommendations[at : at + count]), model_version, run, generated_at
        )


def _sigmoid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow; SciPy, which has it too, is not in the Lambda's layer."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def _folder(uri: str) -> str:
    return uri.rsplit("/", 1)[0]
