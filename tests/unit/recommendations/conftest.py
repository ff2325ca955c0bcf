"""One small encoded and embedded run on disk, and a DynamoDB and an S3 that answer like them."""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.manifest import Channel, Manifest, Rows
from fmrec.ranking.interactions import Interactions, from_pairs
from fmrec.recordio import encode_dense


@dataclass
class SmallRun:
    """Files of a run as docs/contracts.md says, and the numbers they were made from."""

    folder: Path
    manifest: Manifest
    user_vectors: np.ndarray
    item_vectors: np.ndarray
    offsets: np.ndarray
    user_ids: list[str]
    item_ids: list[str]
    part_starts: list[int]
    seen: Interactions

    @property
    def manifest_uri(self) -> str:
        return str(self.folder / "encoded/r1/manifest.json")

    @property
    def embeddings_uri(self) -> str:
        return str(self.folder / "embeddings/r1/embeddings.json")

    @property
    def neighbours_uri(self) -> str:
        return str(self.folder / "neighbours/r1/")

    @property
    def output_uri(self) -> str:
        return str(self.folder / "recommendations/r1/")

    def arguments(self, part: int, per_user: int = 3) -> dict[str, Any]:
        return {
            "manifest_uri": self.manifest_uri,
            "embeddings_uri": self.embeddings_uri,
            "neighbours_uri": self.neighbours_uri,
            "output_uri": self.output_uri,
            "part": part,
            "per_user": per_user,
            "model_version": "m1",
        }

    def answer(self, part: int, k: int) -> list[str]:
        """What k-NN's verbose batch transform writes for a part: ascending, best last."""
        first = self.part_starts[part]
        last = (*self.part_starts, len(self.user_ids))[part + 1]
        products = self.user_vectors[first:last] @ self.item_vectors.T
        lines = []
        for row in products:
            order = np.argsort(row, kind="stable")[-k:]
            lines.append(
                json.dumps(
                    {
                        "predicted_label": float(order[-1]),
                        "distances": row[order].tolist(),
                        "labels": order.astype(float).tolist(),
                    }
                )
            )
        return lines

    def write_neighbours(self, part: int, lines: list[str]) -> None:
        path = self.folder / f"neighbours/r1/part-{part:05d}.pbr.out"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))

    def ranking(self, user: int) -> list[int]:
        """Every item ordinal, best first, by brute force."""
        products = self.item_vectors @ self.user_vectors[user]
        return sorted(range(len(self.item_ids)), key=lambda item: (-products[item], item))


def write_feature_index(folder: Path, names: list[str], users: int, files: int, row_group_size: int) -> None:
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "column": pa.array(range(len(names)), pa.int64()),
            "namespace": ["user" if column < users else "item" for column in range(len(names))],
            "name": names,
            "interactions": pa.array([1 + n % 5 for n in range(len(names))], pa.int64()),
        }
    )
    bounds = np.linspace(0, len(names), files + 1).astype(int)
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        pq.write_table(
            table.slice(start, end - start),
            folder / f"part-{number:05d}.parquet",
            row_group_size=row_group_size,
        )


@pytest.fixture
def small_run(tmp_path: Path) -> SmallRun:
    """23 users in two parts, 12 items, 4 dimensions; ids that are not in alphabetical order."""
    return make_run(tmp_path, binary=True)


@pytest.fixture
def regression_run(tmp_path: Path) -> SmallRun:
    return make_run(tmp_path, binary=False)


def make_run(folder: Path, binary: bool) -> SmallRun:
    users, items, dim = 23, 12, 4
    random = np.random.default_rng(7)
    user_ids = [f"u{900 - 7 * n}" for n in range(users)]
    item_ids = [f"film {n * 31 % 97}" for n in range(items)]
    manifest = Manifest(
        run="r1",
        created="2026-11-21T10:00:00Z",
        dataset={},
        feature_dim=users + items,
        nnz_per_row=2.0,
        users=users,
        items=items,
        ranges={"user": (0, users), "item": (users, users + items)},
        rows=Rows(read=100, encoded=100, train=90, test=10),
        train=Channel("train/", 90, 1, 5760, 0.5 if binary else None),
        test=Channel("test/", 10, 1, 640, 0.5 if binary else None),
    )
    # The first user has met all items but one, the second all, the third none, the others some.
    met = random.random((users, items)) < 0.3
    met[:3] = [[True], [True], [False]]
    met[0, 5] = False
    encoded, embedded = folder / "encoded/r1", folder / "embeddings/r1"
    write_feature_index(encoded / "feature_index", user_ids + item_ids, users, files=3, row_group_size=5)
    (encoded / "seen").mkdir()
    user, item = np.nonzero(met)
    pairs = pa.table({"user_column": user, "item_column": item + users, "relevant": (user + item) % 2 == 0})
    pq.write_table(pairs, encoded / "seen/part-00000.parquet", row_group_size=17)
    (encoded / "manifest.json").write_text(manifest.to_json())
    part_starts = [0, 14]
    offsets = random.normal(size=users)
    # Whole numbers over eight: float32 products are exact, so that brute force gives the same order.
    user_vectors = random.integers(-16, 17, (users, dim)).astype(np.float32) / 8
    item_vectors = random.integers(-16, 17, (items, dim)).astype(np.float32) / 8
    (embedded / "query_offsets").mkdir(parents=True)
    parts = []
    for number, (start, end) in enumerate(zip(part_starts, [14, users], strict=True)):
        (embedded / "queries").mkdir(exist_ok=True)
        queries = bytes(encode_dense(user_vectors[start:end]))
        (embedded / f"queries/part-{number:05d}.pbr").write_bytes(queries)
        np.save(embedded / f"query_offsets/part-{number:05d}.npy", offsets[start:end])
        parts.append(
            {
                "key": f"queries/part-{number:05d}.pbr",
                "offsets_key": f"query_offsets/part-{number:05d}.npy",
                "first_user": start,
                "rows": end - start,
                "bytes": len(queries),
            }
        )
    shuffled = random.permutation(items)
    item_bytes = bytes(encode_dense(item_vectors[shuffled], shuffled.astype(np.float32)))
    (embedded / "items").mkdir()
    (embedded / "items/part-00000.pbr").write_bytes(item_bytes)
    item_parts = [{"key": "items/part-00000.pbr", "rows": items, "bytes": len(item_bytes)}]
    document = {"dim": dim, "users": users, "items": items, "item_parts": item_parts, "query_parts": parts}
    (embedded / "embeddings.json").write_text(json.dumps(document))
    return SmallRun(
        folder,
        manifest,
        user_vectors,
        item_vectors,
        offsets,
        user_ids,
        item_ids,
        part_starts,
        from_pairs(user, item, users),
    )


@pytest.fixture(scope="session")
def dynamodb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an emulator of DynamoDB and S3 that ends with the session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state = tmp_path_factory.mktemp("dynamodb")
    environment = os.environ | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "STATE_DIR": str(state),
        "SERVICES": "dynamodb,s3",
        "S3_DATA_DIR": str(state / "s3"),
    }
    with (state / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "ministack"], env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((state / "log").read_text()) from None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def dynamodb(dynamodb_endpoint: str) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=dynamodb_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def table(dynamodb: Any, request: pytest.FixtureRequest) -> str:
    """A fresh table keyed by user_id."""
    name = f"recommendations-{abs(hash(request.node.nodeid))}"
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name
