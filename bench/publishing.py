"""Publishing lists to DynamoDB against a bare loop of BatchWriteItem with the same items, in the same run.

    python -m bench.publishing [--users 100000] [--items 5000] [--per-user 10] [--pairs 3]

Publishing reads k-NN's answers as batch transform writes them, joins them with ids, writes a Parquet file and
the table. The bare loop has the same items ready in memory and only sends them, 25 a call, from as many
threads. Both write to the local cloud's DynamoDB, each in a process of its own, in turn; the ratio is the
median of pairs, of the clock, as half of the work is the table's. Memory is the peak of publishing all users
over that of publishing a quarter of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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


def publish_run(folder: Path, table: str, per_user: int) -> float:
    """Publish the run; return seconds."""
    start = time.perf_counter()
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
    return time.perf_counter() - start


def bare_loop(folder: Path, table: str) -> float:
    """Send the lists that were published, made before the clock starts; return seconds."""
    rows = pq.read_table(folder / "lists/part-00000.parquet", schema=PARQUET_SCHEMA).to_pylist()
    lists: dict[str, list[Recommendation]] = {}
    for row in rows:
        lists.setdefault(row["user_id"], []).append(Recommendation(row["item_id"], row["score"], row["rank"]))
    stamp = "2026-01-01T00:00:00+00:00"
    puts = [
        {"PutRequest": {"Item": to_item(UserRecommendations(user, tuple(best), "bench", "bench", stamp))}}
        for user, best in lists.items()
    ]
    client = dynamodb_client()

    def send(start: int) -> None:
        answer = client.batch_write_item(RequestItems={table: puts[start : start + BATCH_ITEMS]})
        if answer.get("UnprocessedItems"):
            raise RuntimeError(f"the table left items of batch {start} unprocessed")

    start = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(send, range(0, len(puts), BATCH_ITEMS)):
            pass
    return time.perf_counter() - start


def in_process(what: str, folder: Path, table: str, per_user: int) -> tuple[float, float]:
    """Run one measurement in a process of its own; return seconds and peak MiB."""
    dynamodb_client().create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    command = [sys.executable, "-m", "bench.publishing", "--one", what, str(folder), table]
    child = subprocess.run([*command, "--per-user", str(per_user)], stdout=subprocess.PIPE, check=True)
    dynamodb_client().delete_table(TableName=table)
    seconds, peak = json.loads(child.stdout)
    return seconds, peak


def measure_one(what: str, folder: Path, table: str, per_user: int) -> None:
    seconds = publish_run(folder, table, per_user) if what == "publish" else bare_loop(folder, table)
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--per-user", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each; the median ratio counts")
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
    write_run(folder / "all", users, arguments.items)
    write_run(folder / "quarter", users // 4, arguments.items)
    (folder / "dynamodb").mkdir()
    ratios = []
    with emulator(folder / "dynamodb", "dynamodb") as url:
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        _, few = in_process("publish", folder / "quarter", "quarter", per_user)
        for pair in range(arguments.pairs):
            seconds, peak = in_process("publish", folder / "all", f"lists-{pair}", per_user)
            bare, _ = in_process("loop", folder / "all", f"bare-{pair}", per_user)
            ratios.append(seconds / bare)
            print(
                f"{users:,} users × {per_user}: publishing {seconds:.1f} s, bare loop {bare:.1f} s, "
                f"peak {peak:.0f} MiB ({few:.0f} at {users // 4:,} users)"
            )
    verdict("publishing / a bare BatchWriteItem loop", float(np.median(ratios)), TARGET, at_most=True)
    verdict("publishing's memory, all users / a quarter", peak / few, MEMORY_TARGET, at_most=True)


if __name__ == "__main__":
    main()
