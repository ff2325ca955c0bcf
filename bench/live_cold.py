"""What `bench.live` measures of a cold start: a function's process from its beginning to its first answer.

    python -m bench.live_cold s3://bucket 1764400000.0

The bucket holds a champion. Prints one JSON object: seconds from the given moment, when the process was
started, to the first answer; seconds of steps in it; seconds that the items' vectors take once more, now that
everything is warm; MiB at the peak before that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

LISTED_USERS = 2000
STARTS = 5


def measure(items: int, factors: int) -> dict[str, Any]:
    """Upload a champion to an emulator of S3, serve it in fresh processes, and return medians of what they
    print.
    """
    import boto3
    import numpy as np

    from fmrec.storage import s3_client
    from localcloud.emulator import emulator

    with tempfile.TemporaryDirectory() as folder, emulator(Path(folder), "s3", S3_PERSIST="1") as url:
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_REQUIRED",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "WHEN_REQUIRED",
            "POWERTOOLS_SERVICE_NAME": "live",
        }
        os.environ |= environment
        s3_client.forget_client()
        boto3.client("s3").create_bucket(Bucket="bench")
        upload("s3://bench", items, factors)
        found = []
        for _ in range(STARTS):
            command = [sys.executable, "-m", "bench.live_cold", "s3://bench", repr(time.time())]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        for name in environment:
            del os.environ[name]
    medians = {name: float(np.median([each[name] for each in found])) for name in ("cold", "warm", "again")}
    return {**medians, "mib": max(each["mib"] for each in found), "starts": found}


def upload(root: str, items: int, factors: int) -> None:
    """Write what the API reads of a champion, as the workflow does."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bench.live import catalogue
    from fmrec.artifacts.manifest import Channel, Manifest, Rows
    from fmrec.model.embeddings import export
    from fmrec.model.factorization_machine import FactorizationMachine
    from fmrec.registry import champion
    from fmrec.storage import object_store

    vectors, offsets = catalogue(items, factors, np.random.default_rng(0))
    columns = LISTED_USERS + items
    machine = FactorizationMachine(
        0.0,
        np.concatenate([np.zeros(LISTED_USERS, np.float32), offsets]),
        np.concatenate([np.zeros((LISTED_USERS, factors), np.float32), vectors]),
        "binary_classifier",
    )
    manifest = Manifest(
        run="cold",
        created="2026-01-01T00:00:00Z",
        dataset={},
        feature_dim=columns,
        nnz_per_row=2.0,
        users=LISTED_USERS,
        items=items,
        ranges={"user": (0, LISTED_USERS), "item": (LISTED_USERS, columns)},
        rows=Rows(read=1, encoded=1, train=1, test=0),
        train=Channel("train/", 1, 1, 64, 0.5),
        test=Channel("test/", 0, 0, 0, None),
    )
    encoded, embedded = f"{root}/encoded/cold", f"{root}/embeddings/cold"
    export(machine, manifest, f"{embedded}/")
    index = pa.table(
        {
            "column": np.arange(columns),
            "namespace": ["user"] * LISTED_USERS + ["item"] * items,
            "name": [f"user {n}" for n in range(LISTED_USERS)] + [f"item {n}" for n in range(items)],
            "interactions": np.ones(columns, np.int64),
        }
    )
    with object_store.open_output(f"{encoded}/feature_index/part-00000.parquet") as file:
        pq.write_table(index, file, row_group_size=1 << 17)
    object_store.write_bytes(f"{encoded}/manifest.json", manifest.to_json().encode())
    record = champion.Champion(
        "cold", "recommend", "1", "", f"{encoded}/manifest.json", f"{embedded}/embeddings.json"
    )
    object_store.write_bytes(champion.place(root), json.dumps(asdict(record)).encode())


def main(root: str, began: float) -> None:
    moments = {"python": time.time()}
    from fmrec.live.api import routes
    from fmrec.live.api.application import answer
    from fmrec.live.served_model import Champion
    from fmrec.recommendations.table import dynamodb_client

    moments["imports"] = time.time()
    champion = Champion(root, "recommendations", client=dynamodb_client())
    app = routes.build(champion)
    moments["clients"] = time.time()
    history = [{"item_id": f"item {number}"} for number in range(1000, 1050)]
    event = {
        "version": "2.0",
        "routeKey": "POST /recommendations",
        "rawPath": "/recommendations",
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/recommendations"}, "stage": "$default"},
        "body": json.dumps({"history": history, "n": 10}),
        "isBase64Encoded": False,
    }
    found = answer(app, event, None)
    moments["answer"] = time.time()
    items = json.loads(found["body"])["items"]
    if found["statusCode"] != 200 or len(items) != 10:
        raise SystemExit(found["body"])
    mib = peak_mib()
    run = champion.model().encoded
    start = time.perf_counter()
    run.item_vectors()
    warm = time.perf_counter() - start
    start = time.perf_counter()
    answer(app, event, None)
    again = time.perf_counter() - start
    steps, before = {}, began
    for name, at in moments.items():
        steps[name], before = at - before, at
    print(json.dumps({"cold": before - began, "steps": steps, "warm": warm, "again": again, "mib": mib}))


def peak_mib() -> float:
    """The kernel's own peak of this program."""
    from bench.live_mapped import peak_mib as peak

    return peak()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
