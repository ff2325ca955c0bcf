"""The k-NN stand-in as processes: a training job and a server."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fmrec.recordio import decode_label_tensors

COUNT, WIDTH, K = 300, 5, 4
JSON_LINES = "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"


def vectors(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


SETTINGS = {
    "feature_dim": WIDTH,
    "k": K,
    "predictor_type": "classifier",
    "sample_size": 100_000,
    "index_metric": "INNER_PRODUCT",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_job: Callable[..., Any], encode: Any) -> Any:
    """An index whose labels are 1000 + row, from two files."""
    job = make_job(tmp_path_factory.mktemp("knn"), "knn", **SETTINGS)
    features, labels = vectors(0, COUNT), np.arange(1000, 1000 + COUNT).astype(np.float32)
    job.put("train", "b", encode(features[200:], labels[200:]))
    job.put("train", "a.pbr", encode(features[:200], labels[:200]))
    job.put("test", "any", encode(features[:10], labels[:10]))
    assert job.train() == 0, job.log
    return job


@pytest.fixture(scope="module")
def server(trained: Any, serve: Callable[..., Any]) -> Any:
    return serve("knn", trained.root)


def expected(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and products of the best, worst first."""
    products = queries.astype(np.float64) @ vectors(0, COUNT).astype(np.float64).T
    best = np.argsort(products, axis=1)[:, -K:]
    return best + 1000, np.take_along_axis(products, best, axis=1)


def test_training_leaves_the_artifact_and_the_logs_lines(trained: Any) -> None:
    assert sorted(path.name for path in (trained.root / "model").iterdir()) == [
        "model_algo-1",
        "model_algo-1.json",
        "model_algo-1.labels",
    ]
    for text in (
        "Docker entrypoint called with argument(s): train",
        "Using per-worker sample size = 100000",
        "...Got reservoir sample from algo-1: data=(300, 5), labels=(300,), NaNs=0",
        "#progress_metric: host=algo-1, completed 100.0 % of epochs",
        "#test_score (algo-1) : ('accuracy', ",
        '"Algorithm": "AWS/KNN"',
    ):
        assert text in trained.log
    assert 0 <= trained.metric("test", "accuracy") <= 1


def test_verbose_json_lines_ascend_so_that_the_best_is_last(server: Any, encode: Any) -> None:
    queries = vectors(1, 20)
    status, body, content_type = server.invoke(encode(queries), RECORDIO, f"{JSON_LINES}; verbose=true")
    assert (status, content_type) == (200, JSON_LINES)
    assert body.endswith(b"}\n")
    answers = [json.loads(line) for line in body.splitlines()]
    labels, products = expected(queries)
    assert [answer["labels"] for answer in answers] == labels.tolist()
    np.testing.assert_allclose([answer["distances"] for answer in answers], products, rtol=1e-4)
    assert all(answer["predicted_label"] in answer["labels"] for answer in answers)


def bodies(queries: np.ndarray, encode: Any) -> dict[str, bytes]:
    instances = [{"features": row} for row in queries.tolist()]
    return {
        RECORDIO: encode(queries),
        "application/json": json.dumps({"instances": instances}).encode(),
        JSON_LINES: "\n".join(map(json.dumps, instances)).encode(),
        "text/csv; label_size=0": "\n".join(",".join(map(str, row)) for row in queries.tolist()).encode(),
    }


def test_every_request_type_is_answered_alike(server: Any, encode: Any) -> None:
    queries = vectors(2, 3)
    labels = expected(queries)[0].tolist()
    for content_type, body in bodies(queries, encode).items():
        status, reply, _ = server.invoke(body, content_type, "application/json; verbose=true")
        assert status == 200, reply
        assert [answer["labels"] for answer in json.loads(reply)["predictions"]] == labels, content_type


def test_without_verbose_only_the_predicted_label_comes_back(server: Any, encode: Any) -> None:
    queries = vectors(2, 3)
    _, plain, content_type = server.invoke(encode(queries), RECORDIO)
    assert content_type == "application/json"
    predictions = json.loads(plain)["predictions"]
    assert [list(prediction) for prediction in predictions] == [["predicted_label"]] * 3


def test_recordio_replies_hold_the_same_in_label_tensors(server: Any, encode: Any) -> None:
    queries = vectors(3, 6)
    status, body, _ = server.invoke(encode(queries), RECORDIO, f"{RECORDIO}; verbose=true")
    assert status == 200
    tensors = decode_label_tensors(body)
    labels, products = expected(queries)
    assert np.asarray(tensors["labels"]).tolist() == labels.tolist()
    np.testing.assert_allclose(np.asarray(tensors["distances"]), products, rtol=1e-4)
    assert np.asarray(tensors["predicted_label"]).size == 6


def test_batch_transform_gets_json_lines_by_default(trained: Any, serve: Any, encode: Any) -> None:
    batch = serve("knn", trained.root, SAGEMAKER_BATCH="true")
    _, body, content_type = batch.invoke(encode(vectors(2, 3)), RECORDIO)
    assert content_type == JSON_LINES
    assert len(body.splitlines()) == 3


def test_a_request_of_another_width_is_refused_with_the_reason(server: Any) -> None:
    status, body, _ = server.invoke(b'{"instances": [{"features": [1, 2]}]}', "application/json")
    assert status == 400
    assert b"unable to evaluate payload provided" in body
    assert b"have 2 features, the model was trained on 5" in body


@pytest.mark.parametrize("size", [943])
def test_many_queries_are_answered_at_once(server: Any, encode: Any, size: int) -> None:
    status, body, _ = server.invoke(encode(vectors(5, size)), RECORDIO, f"{JSON_LINES}; verbose=true")
    assert status == 200
    assert body.count(b"\n") == size


def test_training_takes_csv_with_the_label_first_and_float64_records(job: Any, encode: Any) -> None:
    task = job("knn", **{**SETTINGS, "feature_dim": "auto"})
    task.content_types["train"] = "text/csv;label_size=1"
    rows = np.column_stack([np.arange(20), vectors(0, 20)])
    task.put("train", "data.csv", "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode())
    task.put("test", "data", encode(vectors(0, 20).astype(np.float64), np.arange(20)))
    assert task.train() == 0, task.log
    assert (np.fromfile(task.root / "model" / "model_algo-1.labels", "<f4") == np.arange(20)).all()


def sparse_rows() -> sparse.csr_matrix:
    return sparse.csr_matrix(vectors(0, 8))


@pytest.mark.parametrize(
    ("change", "content", "message"),
    [
        ({"k": None}, None, "ClientError: 'k' is a required property"),
        ({"knn": "1"}, None, r"Additional hyperparameters are not allowed ('knn' was unexpected)"),
        ({"feature_dim": "6"}, None, "has rows with 5 features (row 0), but feature_dim is 6"),
        (
            {},
            b"not recordIO",
            "Unable to read data channel 'train'. Requested content-type is 'application/x-recordio",
        ),
        (
            {},
            "nan",
            "Found missing (NaN) values: channel 'train' has a value that is no finite number in row 2",
        ),
        ({}, "unlabelled", "Row 0 has no label"),
    ],
)
def test_what_the_image_refuses_is_refused_in_the_failure_file(
    job: Any, encode: Any, change: dict[str, Any], content: Any, message: str
) -> None:
    settings = {name: value for name, value in {**SETTINGS, **change}.items() if value is not None}
    task = job("knn", **settings)
    features, labels = vectors(0, 8), np.arange(8, dtype=np.float32)
    if content == "nan":
        features[2, 1] = np.nan
    if content is None or content == "nan":
        content = encode(features, labels)
    elif content == "unlabelled":
        content = encode(features)
    task.put("train", "data", content)
    assert task.refuse() == 2
    assert message in task.failure
    assert task.failure.startswith("ClientError: ")
    assert not (task.root / "model").exists()


def test_a_server_without_a_model_says_so_and_a_stopped_one_ends(tmp_path: Path, serve: Any) -> None:
    (tmp_path / "model").mkdir()
    empty = serve("knn", tmp_path)
    status, body, _ = empty.ask("GET", "/ping")
    assert status == 500
    assert b"unable to load model" in body
    empty.process.send_signal(signal.SIGTERM)
    assert empty.process.wait(timeout=10) == 128 + signal.SIGTERM
