"""A small encoded run with held-out rows, an FM model of it, and what batch transform says of them."""

import http.server
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from algorithms.container.media_types import JSON, JSON_LINES, MediaType
from algorithms.factorization_machines.serve import ScoringModel
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.recordio import encode_csr
from tests.fixtures.serving import Serving

USERS, ITEMS, GENRES = 40, 30, 3
PART_ROWS = (500, 300)


@dataclass
class Run:
    """Files of a run as docs/contracts.md says, and the numbers they were made from."""

    folder: Path
    manifest: Manifest
    machine: FactorizationMachine
    rows: scipy.sparse.csr_matrix
    labels: np.ndarray
    scores: np.ndarray
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def users(self) -> np.ndarray:
        return np.asarray(self.rows.indices[self.rows.indptr[:-1]])

    @property
    def items(self) -> np.ndarray:
        return np.asarray(self.rows.indices[self.rows.indptr[:-1] + 1]) - USERS

    def decisions(self) -> Any:
        return pq.read_table(self.folder / "predictions/pairs").to_pandas()


def records(rows: scipy.sparse.csr_matrix, labels: np.ndarray) -> bytes:
    """recordIO-protobuf as the encoding writes it."""
    return bytes(encode_csr(rows.indptr, rows.indices, rows.data, rows.shape[1], labels))


def answer(machine: FactorizationMachine, body: bytes, content_type: str, accept: str) -> bytes:
    """What the algorithm's container answers."""
    return ScoringModel(machine).answer(body, MediaType(content_type, {}), MediaType(accept, {}))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    def make(mode: str = "binary", labels: Any = None, seed: int = 5) -> Run:
        chance = np.random.default_rng(seed)
        count = sum(PART_ROWS)
        users = np.sort(chance.integers(0, USERS, count))
        items = chance.integers(0, ITEMS, count)
        keys = np.column_stack([users, USERS + items, USERS + ITEMS + items % GENRES])
        values = np.tile(np.array([1, 1, 0.5], np.float32), count)
        width = USERS + ITEMS + GENRES
        rows = scipy.sparse.csr_matrix((values, keys.ravel(), np.arange(count + 1) * 3), shape=(count, width))
        predictor = "regressor" if mode == "regression" else "binary_classifier"
        machine = FactorizationMachine(
            3.4 if mode == "regression" else 0.7,
            chance.normal(0, 0.5, width).astype(np.float32),
            chance.normal(0, 0.3, (width, 4)).astype(np.float32),
            predictor,
        )
        if labels is None:
            noisy = machine.scores(rows) + chance.logistic(0, 0.6, count)
            labels = np.clip(np.round(noisy), 1, 5) if mode == "regression" else (noisy > 1.2)
        labels = np.asarray(labels, np.float32)
        folder = tmp_path / f"{mode}-{seed}"
        scores: list[float] = []
        (folder / "encoded/test").mkdir(parents=True)
        (folder / "scores").mkdir()
        start = 0
        for number, size in enumerate(PART_ROWS):
            part = slice(start, start + size)
            body = records(rows[part], labels[part])
            (folder / f"encoded/test/part-{number:05d}.pbr").write_bytes(body)
            text = answer(machine, body, "application/x-recordio-protobuf", JSON_LINES)
            (folder / f"scores/part-{number:05d}.pbr.out").write_bytes(text)
            scores += [json.loads(line)["score"] for line in text.splitlines()]
            start += size
        (folder / "encoded/train").mkdir()
        first = records(rows[:7], labels[:7])
        (folder / "encoded/train/part-00000.pbr").write_bytes(first)
        names = [f"u{u}" for u in range(USERS)] + [f"i{i}" for i in range(ITEMS)] + ["a", "b", "c"]
        kinds = ["user"] * USERS + ["item"] * ITEMS + ["genre"] * GENRES
        (folder / "encoded/feature_index").mkdir()
        pq.write_table(
            pa.table({"column": pa.array(range(width), pa.int64()), "namespace": kinds, "name": names}),
            folder / "encoded/feature_index/part-00000.parquet",
        )
        label = {"mode": mode, "threshold": 4.0}
        manifest = Manifest(
            run="r1",
            created="2026-11-21T00:00:00Z",
            dataset={"label": label},
            feature_dim=width,
            nnz_per_row=3.0,
            users=USERS,
            items=ITEMS,
            ranges={"user": (0, USERS), "item": (USERS, USERS + ITEMS), "genre": (USERS + ITEMS, width)},
            rows=Rows(read=count + 7, encoded=count + 7, train=7, test=count),
            train=Channel("train/", 7, 1, len(first), None),
            test=Channel("test/", count, len(PART_ROWS), 0, None),
        )
        (folder / "encoded/manifest.json").write_text(manifest.to_json())
        arguments = {
            "manifest_uri": str(folder / "encoded/manifest.json"),
            "scores_uri": str(folder / "scores/"),
            "output_uri": str(folder / "predictions/"),
            "model_version": "m1",
        }
        return Run(folder, manifest, machine, rows, labels, np.array(scores), arguments)

    return make


@pytest.fixture
def rewrite_manifest() -> Callable[..., None]:
    """Change what a run's manifest.json says."""

    def rewrite(run: Run, **changed: Any) -> None:
        run.manifest = replace(run.manifest, **changed)
        (run.folder / "encoded/manifest.json").write_text(run.manifest.to_json())

    return rewrite


@dataclass
class Endpoint:
    """SageMaker's runtime over HTTP, answering with a model, as changed by the test."""

    client: Any
    machine: FactorizationMachine | None = None
    change: Callable[[str, bytes], bytes] = lambda _content_type, text: text
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            content_type = self.headers["Content-Type"]
            served.requests.append((self.path, content_type, body))
            assert self.headers["Accept"] == JSON
            assert served.machine is not None
            text = served.change(content_type, answer(served.machine, body, content_type, JSON))
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server, Serving(server):
        served = Endpoint(
            boto3.client(
                "sagemaker-runtime",
                endpoint_url=f"http://127.0.0.1:{server.server_port}",
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        )
        yield served
