"""The FM stand-in as processes: training jobs and servers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.recordio import decode_label_tensors

REPOSITORY = Path(__file__).parents[3]
USERS, ITEMS = 30, 50
WIDTH = USERS + ITEMS
JSON_LINES = "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"
SETTINGS = {
    "feature_dim": WIDTH,
    "num_factors": 4,
    "predictor_type": "binary_classifier",
    "mini_batch_size": 64,
    "epochs": 4,
    "factors_lr": "0.01",
    "linear_lr": "0.01",
}

STAMP = r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d INFO \d+\] "
NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"


def interactions(seed: int, count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Two-hot rows; users like items of their own parity, mostly."""
    generator = np.random.default_rng(seed)
    user, item = generator.integers(0, USERS, count), generator.integers(0, ITEMS, count)
    columns = np.column_stack([user, USERS + item]).ravel().astype(np.int32)
    matrix = sparse.csr_matrix(
        (np.ones(2 * count, np.float32), columns, np.arange(0, 2 * count + 1, 2)), shape=(count, WIDTH)
    )
    liked = np.where(generator.random(count) < 0.9, (user + item) % 2 == 0, generator.random(count) < 0.5)
    return matrix, liked.astype(np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_job: Callable[..., Any], encode: Any) -> Any:
    job = make_job(tmp_path_factory.mktemp("fm"), "factorization_machines", **SETTINGS)
    features, labels = interactions(0, 1000)
    job.put("train", "part-00001", encode(features[600:], labels[600:]))
    job.put("train", "part-00000", encode(features[:600], labels[:600]))
    job.put("test", "test.pbr", encode(*interactions(1, 333)))
    assert job.train({"FMREC_STANDIN_SEED": "5"}) == 0, job.log
    return job


@pytest.fixture(scope="module")
def server(trained: Any, serve: Callable[..., Any]) -> Any:
    return serve("factorization_machines", trained.root)


def probabilities(trained: Any, matrix: sparse.csr_matrix) -> np.ndarray:
    """By definition, from the parameters in the artifact."""
    model = FactorizationMachine.load(trained.root / "model" / "model_algo-1")
    dense = matrix.toarray().astype(np.float64)
    factors = model.factors.astype(np.float64)
    pairs = 0.5 * ((dense @ factors) ** 2 - dense**2 @ factors**2).sum(axis=1)
    return np.asarray(1 / (1 + np.exp(-(model.bias + dense @ model.linear + pairs))))


def test_the_log_has_every_line_that_aws_takes_metrics_from(trained: Any) -> None:
    names = {
        "binary_classification_accuracy": "score",
        "binary_classification_cross_entropy": "loss",
        r"binary_f_1\.000": "score",
    }
    for name, kind in names.items():
        for epoch in range(4):
            for scope in (f"epoch={epoch}, batch=0 train", f"epoch={epoch}, train"):
                line = rf"^{STAMP}#quality_metric: host=algo-1, {scope} {name} <{kind}>={NUMBER}$"
                assert re.search(line, trained.log, re.MULTILINE), line
        for scope in ("train", "test"):
            line = rf"^{STAMP}#quality_metric: host=algo-1, {scope} {name} <{kind}>={NUMBER}$"
            assert re.search(line, trained.log, re.MULTILINE), line
        assert re.search(
            rf"^{STAMP}#test_score \(algo-1\) : \('{name}', {NUMBER}\)$", trained.log, re.MULTILINE
        )
    assert re.findall(r"#progress_metric: host=algo-1, completed (\S+) %", trained.log) == [
        "25.0",
        "50.0",
        "75.0",
        "100.0",
    ]
    assert re.search(r"#throughput_metric: host=algo-1, train throughput=(\S+) records/second", trained.log)
    documents = [json.loads(line[9:]) for line in trained.log.splitlines() if line.startswith("#metrics ")]
    assert {document["Dimensions"]["Algorithm"] for document in documents} == {"factorization-machines"}


def test_train_metrics_average_over_whole_mini_batches_and_test_metrics_over_the_rows(trained: Any) -> None:
    # 1000 rows in mini-batches of 64: 16 mini-batches, 1024 rows
    for scope, rows in (("train", 1024), ("epoch=0, batch=0 train", 64), ("test", 333)):
        right = trained.metric(scope, "binary_classification_accuracy") * rows
        assert right == pytest.approx(round(right), abs=1e-6), scope


def test_test_metrics_are_those_of_the_saved_model(trained: Any) -> None:
    matrix, labels = interactions(1, 333)
    probability = probabilities(trained, matrix)
    positive, predicted = labels == 1, probability >= 0.5
    assert trained.metric("test", "binary_classification_accuracy") == np.mean(positive == predicted)
    assert trained.metric("test", "binary_classification_cross_entropy") == pytest.approx(
        -np.log(np.where(positive, probability, 1 - probability)).mean(), rel=1e-5
    )


def test_training_learns(trained: Any) -> None:
    first = trained.metric("epoch=0, train", "binary_classification_cross_entropy")
    last = trained.metric("train", "binary_classification_cross_entropy")
    assert last < first


@pytest.mark.slow
def test_the_seed_decides_and_threads_dont(trained: Any, job: Any) -> None:
    def artifact(**environment: str) -> FactorizationMachine:
        task = job("factorization_machines", **SETTINGS)
        for name in ("part-00000", "part-00001"):
            task.put("train", name, (trained.root / "input" / "data" / "train" / name).read_bytes())
        assert task.train(environment) == 0, task.log
        return FactorizationMachine.load(task.root / "model" / "model_algo-1")

    same = artifact(FMREC_STANDIN_SEED="5", OMP_NUM_THREADS="1")
    other = artifact(FMREC_STANDIN_SEED="6")
    expected = FactorizationMachine.load(trained.root / "model" / "model_algo-1")
    assert (same.factors == expected.factors).all()
    assert not (other.factors == expected.factors).any()


def test_a_regressor_reports_rmse_and_answers_scores_only(job: Any, encode: Any, serve: Any) -> None:
    task = job("factorization_machines", **{**SETTINGS, "predictor_type": "regressor"})
    features, labels = interactions(0, 500)
    task.put("train", "data", encode(features, 1 + 4 * labels))
    task.put("test", "data", encode(features, 1 + 4 * labels))
    assert task.train() == 0, task.log
    assert task.metric("test", "rmse") == pytest.approx(task.metric("test", "mse") ** 0.5)
    assert task.metric("test", "absolute_loss") > 0
    status, body, _ = serve("factorization_machines", task.root).invoke(encode(features[:2]), RECORDIO)
    assert status == 200
    assert [list(prediction) for prediction in json.loads(body)["predictions"]] == [["score"], ["score"]]


def test_dense_records_train_too(job: Any, encode: Any) -> None:
    task = job("factorization_machines", **SETTINGS)
    features, labels = interactions(0, 200)
    task.put("train", "data", encode(features.toarray(), labels))
    assert task.train() == 0, task.log
    model = FactorizationMachine.load(task.root / "model" / "model_algo-1")
    assert model.factors.shape == (WIDTH, 4)


@pytest.mark.parametrize(
    ("change", "make", "message"),
    [
        ({"num_factors": None}, "good", "ClientError: 'num_factors' is a required property"),
        (
            {"factor_lr": "1"},
            "good",
            "ClientError: Additional hyperparameters are not allowed ('factor_lr' was",
        ),
        ({"feature_dim": 81}, "good", "has rows with 80 features (row 0), but feature_dim is 81"),
        ({}, "no file", "Unable to read data channel 'train'. It has no files"),
        ({}, "no channel", "'train' is a required property"),
        (
            {},
            "noise",
            "Unable to read data channel 'train'. Requested content-type is 'application/x-recordio",
        ),
        ({}, "csv", "Requested content-type is 'text/csv'. Please verify the data matches"),
        ({}, "nan", "Found missing (NaN) values: channel 'train' has nan in row 7, column"),
        ({}, "nan label", "has the label nan in row 7"),
        ({}, "unlabelled", "Row 0 has no label"),
        (
            {},
            "ratings",
            "has the label 3 in row 0: encode labels as 0 and 1, or set predictor_type to regressor",
        ),
        ({}, "float64", "takes Float32 tensors only, and row 0 holds float64"),
        ({}, "hosts", "names 2 hosts, and this stand-in trains on one"),
        ({"_tuning_objective_metric": "test:rmse"}, "good", "'test:rmse' is not one of"),
        (
            {"_tuning_objective_metric": "test:binary_f_beta"},
            "good",
            "'test:binary_f_beta' needs a channel named 'test'",
        ),
    ],
)
def test_what_the_image_refuses_is_refused_in_the_failure_file(
    job: Any, encode: Any, change: dict[str, Any], make: str, message: str
) -> None:
    settings = {name: value for name, value in {**SETTINGS, **change}.items() if value is not None}
    task = job("factorization_machines", **settings)
    features, labels = interactions(0, 20)
    if make == "nan":
        features.data[15] = np.nan
    if make == "nan label":
        labels[7] = np.nan
    content = {
        "noise": b"user,item,rating\n1,2,3\n",
        "unlabelled": encode(features),
        "ratings": encode(features, labels * 0 + 3),
        "float64": encode(features.astype(np.float64), labels),
    }.get(make, encode(features, labels))
    if make == "csv":
        task.content_types["train"] = "text/csv"
    if make == "hosts":
        task.hosts = ["algo-1", "algo-2"]
    if make == "no file":
        (task.root / "input" / "data" / "train").mkdir(parents=True)
    elif make != "no channel":
        task.put("train", "data", content)
    assert task.refuse() == 2
    assert message in task.failure
    assert task.failure.startswith("ClientError: ")
    assert not (task.root / "model").exists()


def test_diverging_training_fails_as_the_algorithms_error(job: Any, encode: Any) -> None:
    task = job("factorization_machines", **{**SETTINGS, "factors_lr": "1e30", "predictor_type": "regressor"})
    task.put("train", "data", encode(*interactions(0, 200)))
    assert task.refuse() == 1
    assert task.failure.startswith("AlgorithmError: training diverged: the loss of epoch")


def test_a_platform_that_lays_out_nothing_is_to_blame(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "algorithms.factorization_machines", "train", "--root", str(tmp_path)]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=60, check=False)
    assert finished.returncode == 3
    assert "resourceconfig.json can't be read" in (tmp_path / "output" / "failure").read_text()


@pytest.mark.slow
def test_sigterm_stops_a_training_at_once(job: Any, encode: Any) -> None:
    task = job("factorization_machines", **{**SETTINGS, "epochs": 100_000_000})
    task.put("train", "data", encode(*interactions(0, 1000)))
    task.configure()
    command = [sys.executable, "-m", "algorithms.factorization_machines", "train", "--root", str(task.root)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "#progress_metric" in line:
                break
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Received SIGTERM" in rest


def test_ping_and_execution_parameters(server: Any) -> None:
    assert server.ask("GET", "/ping")[0] == 200
    status, body, content_type = server.ask("GET", "/execution-parameters")
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body) == {
        "MaxConcurrentTransforms": 1,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


def request_bodies(matrix: sparse.csr_matrix, encode: Any) -> dict[str, tuple[str, bytes]]:
    dense = [{"features": row} for row in matrix.toarray().tolist()]
    dense_values = [{"data": {"features": {"values": row}}} for row in matrix.toarray().tolist()]
    sparse_values = [
        {
            "data": {
                "features": {
                    "keys": matrix.indices[start:end].tolist(),
                    "shape": [WIDTH],
                    "values": matrix.data[start:end].tolist(),
                }
            }
        }
        for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    ]
    return {
        "dense": ("application/json", json.dumps({"instances": dense}).encode()),
        "dense in data": ("application/json", json.dumps({"instances": dense_values}).encode()),
        "sparse": ("application/json", json.dumps({"instances": sparse_values}).encode()),
        "lines": (JSON_LINES, "\n".join(map(json.dumps, sparse_values)).encode()),
        "recordio": (RECORDIO, encode(matrix)),
        "dense recordio": (RECORDIO, encode(matrix.toarray())),
    }


def test_every_form_of_a_request_is_scored_alike(trained: Any, server: Any, encode: Any) -> None:
    matrix, _ = interactions(2, 12)
    expected = probabilities(trained, matrix)
    for form, (content_type, body) in request_bodies(matrix, encode).items():
        status, reply, reply_type = server.invoke(body, content_type)
        assert (status, reply_type) == (200, "application/json"), reply
        predictions = json.loads(reply)["predictions"]
        np.testing.assert_allclose([p["score"] for p in predictions], expected, rtol=1e-5, err_msg=form)
        assert [p["predicted_label"] for p in predictions] == (expected >= 0.5).astype(float).tolist()
        assert all(isinstance(p["predicted_label"], float) for p in predictions)


def test_a_request_without_type_is_json(server: Any) -> None:
    body = json.dumps({"instances": [{"features": [0.0] * WIDTH}]}).encode()
    assert server.invoke(body)[0] == 200


def test_replies_come_in_the_type_that_is_accepted(trained: Any, server: Any, encode: Any) -> None:
    matrix, _ = interactions(2, 12)
    expected = probabilities(trained, matrix)
    _, lines, line_type = server.invoke(encode(matrix), RECORDIO, JSON_LINES)
    assert line_type == JSON_LINES
    assert lines.endswith(b"}\n")
    np.testing.assert_allclose(
        [json.loads(line)["score"] for line in lines.splitlines()], expected, rtol=1e-5
    )
    _, records, record_type = server.invoke(encode(matrix), RECORDIO, RECORDIO)
    assert record_type == RECORDIO
    tensors = decode_label_tensors(records)
    np.testing.assert_allclose(tensors["score"].ravel(), expected, rtol=1e-5)
    assert tensors["predicted_label"].ravel().tolist() == (expected >= 0.5).tolist()


def test_batch_transform_gets_json_lines_by_default(trained: Any, serve: Any, encode: Any) -> None:
    batch = serve("factorization_machines", trained.root, SAGEMAKER_BATCH="true")
    _, body, content_type = batch.invoke(encode(interactions(2, 12)[0]), RECORDIO)
    assert content_type == JSON_LINES
    assert len(body.splitlines()) == 12


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status", "message"),
    [
        (b"1,2", "text/csv", None, 415, b"content-type text/csv not supported"),
        (b"{}", "application/json", "image/png", 406, b"accept type image/png not supported"),
        (b"", "application/json", None, 204, b""),
        (b"{}", "application/json", None, 400, b"unable to evaluate payload provided"),
        (b"\x0a\x23\xd7\xceabc", RECORDIO, None, 400, b"unable to evaluate payload provided"),
        (
            b'{"instances": [{"features": [1]}]}',
            None,
            None,
            400,
            b"have 1 features, the model was trained on 80",
        ),
        (
            b'{"instances":[{"features":[[0,0,1,0,0,0,0,1,0,0]]}]}',
            "application/json",
            None,
            400,
            b"instance 0 has a list among its values, expected numbers in one list",
        ),
        (bytes(6 * 1024 * 1024 + 1), RECORDIO, None, 413, b"at most 6291456 are taken"),
    ],
)
def test_requests_are_refused_with_the_right_status(
    server: Any, body: bytes, content_type: str | None, accept: str | None, status: int, message: bytes
) -> None:
    found, reply, _ = server.invoke(body, content_type, accept)
    assert found == status
    assert message in reply


def test_the_largest_body_is_set_by_the_environment(trained: Any, serve: Any) -> None:
    small = serve("factorization_machines", trained.root, MAX_CONTENT_LENGTH="100")
    assert small.invoke(bytes(101), RECORDIO)[0] == 413


def test_unknown_paths_are_not_found(server: Any) -> None:
    assert server.ask("GET", "/models")[0] == 404
    assert server.ask("POST", "/ping", b"{}")[0] == 404


def test_scores_equal_the_published_example(tmp_path: Path, serve: Any) -> None:
    """The parameters of a sample, whose scores MXNet agrees with."""
    factors = np.linspace(-1, 1.125, 18, dtype=np.float32).reshape(6, 3)
    linear = np.linspace(-0.5, 0.75, 6, dtype=np.float32)
    (tmp_path / "model").mkdir()
    model = FactorizationMachine(0.25, linear, factors, "binary_classifier")
    model.save_model_algo(tmp_path / "model")
    rows = np.zeros((2, 6))
    rows[0, [0, 3]] = rows[1, [1, 5]] = 1
    body = json.dumps({"instances": [{"features": row} for row in rows.tolist()]}).encode()
    _, reply, _ = serve("factorization_machines", tmp_path).invoke(body, "application/json")
    scores = [prediction["score"] for prediction in json.loads(reply)["predictions"]]
    np.testing.assert_allclose(scores, [0.348645, 0.327668], atol=1e-6)
