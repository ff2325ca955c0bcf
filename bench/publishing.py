"""Publishing lists to DynamoDB against a bare loop of BatchWriteItem with the same items, in the same run.

    python -m bench.publishing [--users 100000] [--items 5000] [--per-user 10] [--pairs 3] [--emulator]

Publishing reads k-NN's answers as batch transform writes them, joins them with ids, writes a Parquet file and
the table. The bare loop has the same items ready in memory and only sends them, 25 a call, from as many
threads, by the client that boto3 makes; once more by publishing's own client, which doesn't check parameters.
Both write to a table that takes a constant time (``bench/constant_table.py``), each in a process of its own,
in turn; the ratio is the median of pairs, of the clock. With ``--emulator`` the table is the local cloud's:
it takes several times as long for an item as either client, so that the ratio is about 1 whatever they do.
Memory is the peak of publishing all users over that of publishing a tenth of them.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.constant_table import constant_table
from bench.targets import print_machine, verdict
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.recommendations.publish import PARQUET_SCHEMA, publish
from fmrec.recommendations.table import (
    BATCH_ITEMS,
    WRITERS,
    Recommendation,
    UserRecommendations,
    dynamodb_client,
    to_item,
)
from fmrec.recordio import encode_dense
from localcloud.emulator import emulator

TARGET, MEMORY_TARGET = 1.3, 1.2
TABLE = "lists"
NEIGHBOURS = 50
DIMENSION = 4
"""Vectors are not read as long as k-NN's neighbours are enough."""


def write_run(folder: Path, users: int, items: int) -> None:
    """Write what publishing reads of a run: manifest, feature index, embeddings, k-NN's answers."""
    random = np.random.default_rng(0)
    encoded, embedded, answers = folder / "encoded", folder / "embedded", folder / "neighbours"
    for path in (encoded / "feature_index", embedded / "queries", embedded / "offsets", answers):
        path.mkdir(parents=True)
    manifest = Manifest(
        run="bench",
        created="2026-01-01T00:00:00Z",
        dataset={},
        feature_dim=users + items,
        nnz_per_row=2.0,
        users=users,
        items=items,
        ranges={"user": (0, users), "item": (users, users + items)},
        rows=Rows(read=users, encoded=users, train=users, test=0),
        train=Channel("train/", users, 1, 64 * users, 0.5),
        test=Channel("test/", 0, 0, 0, None),
    )
    (encoded / "manifest.json").write_text(manifest.to_json())
    columns = np.arange(users + items)
    index = pa.table(
        {
            "column": columns,
            "namespace": np.where(columns < users, "user", "item"),
            "name": np.char.add("id-", columns.astype(str)),
            "interactions": np.ones(users + items, np.int64),
        }
    )
    pq.write_table(index, encoded / "feature_index/part-00000.parquet", row_group_size=65_536)
    queries = bytes(encode_dense(np.ones((users, DIMENSION), np.float32)))
    (embedded / "queries/part-00000.pbr").write_bytes(queries)
    np.save(embedded / "offsets/part-00000.npy", random.normal(size=users))
    part: dict[str, Any] = {"key": "queries/part-00000.pbr", "offsets_key": "offsets/part-00000.npy"}
    part |= {"first_user": 0, "rows": users, "bytes": len(queries)}
    document = {"dim": DIMENSION, "users": users, "items": items, "item_parts": [], "query_parts": [part]}
    (embedded / "embeddings.json").write_text(json.dumps(document))
    with (answers / "part-00000.pbr.out").open("w") as file:
        for _ in range(users):
            labels = random.integers(0, items // NEIGHBOURS, NEIGHBOURS) + np.arange(NEIGHBOURS) * (
                items // NEIGHBOURS
            )
            answer = {"predicted_label": float(labels[-1]), "labels": labels.astype(float).tolist()}
            answer["distances"] = np.sort(random.normal(size=NEIGHBOURS)).astype(np.float32).tolist()
            file.write(json.dumps(answer) + "\n")


class Measured(NamedTuple):
    """Seconds on the clock and of this process on all processors, and its peak memory in MiB."""

    wall: float
    processor: float
    peak: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.processor:.1f} s processor)"


def publish_run(folder: Path, table: str, per_user: int) -> None:
    """Publish the run."""
    publish(
        manifest_uri=str(folder / "encoded/manifest.json"),
        embeddings_uri=str(folder / "embedded/embeddings.json"),
        neighbours_uri=f"{folder / 'neighbours'}/",
        output_uri=f"{folder / 'lists'}/",
        table=table,
        part=0,
        per_user=per_user,
        model_version="bench",
    )


def bare_loop(folder: Path, table: str, client: Any) -> Callable[[], None]:
    """Return what sends the lists that were published; they are made before that."""
    rows = pq.read_table(folder / "lists/part-00000.parquet", schema=PARQUET_SCHEMA).to_pylist()
    lists: dict[str, list[Recommendation]] = {}
    for row in rows:
        lists.setdefault(row["user_id"], []).append(Recommendation(row["item_id"], row["score"], row["rank"]))
    stamp = "2026-01-01T00:00:00+00:00"
    puts = [
        {"PutRequest": {"Item": to_item(UserRecommendations(user, tuple(best), "bench", "bench", stamp))}}
        for user, best in lists.items()
    ]

    def send(start: int) -> None:
        answer = client.batch_write_item(RequestItems={table: puts[start : start + BATCH_ITEMS]})
        if answer.get("UnprocessedItems"):
            raise RuntimeError(f"the table left items of batch {start} unprocessed")

    def send_all() -> None:
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(send, range(0, len(puts), BATCH_ITEMS)):
                pass

    return send_all


def in_process(what: str, folder: Path, table: str, per_user: int) -> Measured:
    """Run one measurement in a process of its own."""
    command = [sys.executable, "-m", "bench.publishing", "--one", what, str(folder), table]
    child = subprocess.run([*command, "--per-user", str(per_user)], stdout=subprocess.PIPE, check=True)
    return Measured(*json.loads(child.stdout))


def measure_one(what: str, folder: Path, table: str, per_user: int) -> None:
    work: Callable[[], None]
    if what == "publish":
        work = functools.partial(publish_run, folder, table, per_user)
    else:
        own = what == "loop by publishing's client"
        work = bare_loop(folder, table, dynamodb_client() if own else boto3.client("dynamodb"))
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(json.dumps([wall, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


@contextmanager
def emulated_table(folder: Path) -> Iterator[str]:
    """URL of the local cloud's DynamoDB with `TABLE` in it."""
    with emulator(folder, "dynamodb") as url:
        boto3.client("dynamodb", endpoint_url=url).create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield url


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--per-user", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each; the median ratio counts")
    parser.add_argument("--emulator", action="store_true", help="write to the local cloud's table")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, folder, table = arguments.one
        measure_one(what, Path(folder), table, arguments.per_user)
        return
    print_machine("boto3", "ministack", "pyarrow")
    with tempfile.TemporaryDirectory() as name:
        report(Path(name), arguments)


def report(folder: Path, arguments: Any) -> None:
    """Measure and print everything."""
    users, per_user = arguments.users, arguments.per_user
    few_users = max(users // 10, 1)
    write_run(folder / "all", users, arguments.items)
    write_run(folder / "few", few_users, arguments.items)
    (folder / "dynamodb").mkdir()
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    runs, peaks = [], []
    with emulated_table(folder / "dynamodb") if arguments.emulator else constant_table() as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        few = in_process("publish", folder / "few", TABLE, per_user)
        for _ in range(arguments.pairs):
            published = in_process("publish", folder / "all", TABLE, per_user)
            bare = in_process("loop", folder / "all", TABLE, per_user)
            own = in_process("loop by publishing's client", folder / "all", TABLE, per_user)
            runs.append((published.wall / bare.wall, published.wall / own.wall))
            peaks.append(published.peak)
            print(
                f"{users:,} users × {per_user}: publishing {published}, bare loop {bare}, by publishing's client "
                f"{own}; peak {published.peak:.0f} MiB ({few.peak:.0f} at {few_users:,} users)",
                flush=True,
            )
    ratio, own_ratio = np.median(runs, axis=0)
    print(f"publishing / a bare loop by publishing's own client: {own_ratio:.2f}")
    verdict("publishing / a bare BatchWriteItem loop", float(ratio), TARGET, at_most=True)
    verdict(
        f"publishing's memory, {users:,} / {few_users:,} users",
        float(np.median(peaks)) / few.peak,
        MEMORY_TARGET,
        at_most=True,
    )


if __name__ == "__main__":
    main()
