"""The real stand-ins for the two images, run by the control plane: the container contract from both sides."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from fmrec.recordio import write_numpy_to_dense_tensor, write_spmatrix_to_sparse_tensor

pytestmark = pytest.mark.slow

REGISTRY = "382416733822.dkr.ecr.us-east-1.amazonaws.com"
USERS, ITEMS, ROWS = 20, 30, 600


def algorithm(name: str) -> dict[str, str]:
    return {"TrainingImage": f"{REGISTRY}/{name}:1", "TrainingInputMode": "File"}


def put_interactions(cloud: Any) -> None:
    generator = np.random.default_rng(3)
    columns = np.stack(
        [generator.integers(0, USERS, ROWS), USERS + generator.integers(0, ITEMS, ROWS)], axis=1
    )
    shape = (ROWS, USERS + ITEMS)
    matrix = scipy.sparse.csr_matrix(
        (np.ones(2 * ROWS, np.float32), (np.repeat(np.arange(ROWS), 2), columns.ravel())), shape=shape
    )
    labels = generator.integers(0, 2, ROWS).astype(np.float32)
    for channel in ("train", "test"):
        file = io.BytesIO()
        write_spmatrix_to_sparse_tensor(file, matrix, labels)
        cloud.put(f"{channel}/part-00000.pbr", file.getvalue())


def train_fm(cloud: Any, name: str, **hyperparameters: str) -> dict[str, Any]:
    put_interactions(cloud)
    defaults = {"feature_dim": str(USERS + ITEMS), "num_factors": "4", "predictor_type": "binary_classifier"}
    job: dict[str, Any] = cloud.trained(
        name,
        AlgorithmSpecification=algorithm("factorization-machines"),
        HyperParameters=defaults | hyperparameters,
        InputDataConfig=[cloud.channel(), cloud.channel("test", "s3://bucket/test/")],
    )
    return job


def test_factorization_machines_leave_artifact_and_metrics(real: Any) -> None:
    job = train_fm(real, "fm", epochs="2", mini_batch_size="100")
    assert job["TrainingJobStatus"] == "Completed", job
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    for split in ("train", "test"):
        for name in (
            "binary_classification_accuracy",
            "binary_classification_cross_entropy",
            "binary_f_beta",
        ):
            assert f"{split}:{name}" in metrics
    assert metrics["train:progress"] == 100.0
    with tarfile.open(real.bucket / "models/fm/output/model.tar.gz") as archive:
        assert archive.getnames() == ["model_algo-1"]


def test_a_bad_hyperparameter_is_the_customers_error(real: Any) -> None:
    job = train_fm(real, "bad", num_factors="many")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert "num_factors" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 2")


def test_nearest_neighbours_answer_in_batch_and_at_an_endpoint_as_brute_force_does(real: Any) -> None:
    generator = np.random.default_rng(5)
    items = generator.normal(size=(ITEMS, 5)).astype(np.float32)
    queries = generator.normal(size=(USERS, 5)).astype(np.float32)
    for key, rows, labels in (
        ("items/part-00000.pbr", items, np.arange(ITEMS, dtype=np.float32)),
        ("queries/part-00000.pbr", queries, None),
    ):
        file = io.BytesIO()
        write_numpy_to_dense_tensor(file, rows, labels)
        real.put(key, file.getvalue())
    job = real.trained(
        "knn",
        AlgorithmSpecification=algorithm("knn"),
        HyperParameters={
            "feature_dim": "5",
            "k": "3",
            "predictor_type": "classifier",
            "sample_size": str(ITEMS),
            "index_metric": "INNER_PRODUCT",
        },
        InputDataConfig=[real.channel(uri="s3://bucket/items/")],
    )
    assert job["TrainingJobStatus"] == "Completed", job
    real.model(artifact=job["ModelArtifacts"]["S3ModelArtifacts"])
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/queries/"}}}
    batch = real.transformed(
        TransformInput=source | {"ContentType": "application/x-recordio-protobuf", "SplitType": "RecordIO"},
        TransformOutput={"S3OutputPath": "s3://bucket/out", "Accept": "application/jsonlines; verbose=true"},
    )
    assert batch["TransformJobStatus"] == "Completed", batch
    lines = (real.bucket / "out/part-00000.pbr.out").read_text().splitlines()
    expected = np.argsort(queries @ items.T, axis=1)[:, -3:]  # ascending, best last
    assert [json.loads(line)["labels"] for line in lines] == expected.tolist()
    real.config()
    assert real.endpoint()["EndpointStatus"] == "InService"
    body = json.dumps({"instances": [{"features": queries[0].tolist()}]}).encode()
    answer, _, _ = real.service.invoke_endpoint(
        "endpoint", body, "application/json", "application/json; verbose=true"
    )
    assert json.loads(answer)["predictions"][0]["labels"] == expected[0].tolist()
