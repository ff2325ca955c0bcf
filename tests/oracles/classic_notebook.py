"""The classic notebook, from ratings to k-NN lists, as users of the SageMaker Python SDK v2 write it.

Runs in the SDK's own environment with nothing of this project's but the reader of the FM artifact, which
stands where notebooks import MXNet; what they look at in the end is printed as JSON.
"""

# mypy: disable-error-code="import-untyped,misc"

import io
import json
import sys
import tarfile
import time
import zipfile
from typing import Any

import boto3
import numpy as np
import sagemaker
import sagemaker.amazon.common as smac
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import JSONSerializer
from scipy.sparse import lil_matrix

from fmrec.model import mxnet_params

USERS, ITEMS, FACTORS, NEIGHBOURS = 30, 40, 8, 5
WIDTH = USERS + ITEMS


class FactorizationMachineSerializer(JSONSerializer):
    """As in the notebooks: rows as {"features": [...]}."""

    def serialize(self, data: Any) -> str:
        return json.dumps({"instances": [{"features": row} for row in data.tolist()]})


def ratings() -> tuple[Any, Any]:
    """Two-hot rows of user and item; a user likes items of their own parity."""
    generator = np.random.default_rng(7)
    rows = generator.permutation(USERS * ITEMS)[:600]
    users, items = rows // ITEMS, rows % ITEMS
    matrix = lil_matrix((len(rows), WIDTH), dtype="float32")
    matrix[np.arange(len(rows)), users] = 1
    matrix[np.arange(len(rows)), USERS + items] = 1
    return matrix.tocsr(), ((users + items) % 2 == 0).astype("float32")


def upload(s3: Any, bucket: str, key: str, write: Any, *arrays: Any) -> str:
    file = io.BytesIO()
    write(file, *arrays)
    s3.put_object(Bucket=bucket, Key=key, Body=file.getvalue())
    return f"s3://{bucket}/{key}"


def read_model(s3: Any, bucket: str, model_data: str) -> dict[str, Any]:
    archive = s3.get_object(Bucket=bucket, Key=model_data.removeprefix(f"s3://{bucket}/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile("model_algo-1")
        assert member is not None
        inner = zipfile.ZipFile(io.BytesIO(member.read()))
    return {
        name.removeprefix("arg:"): value for name, value in mxnet_params.load(inner.read("params")).items()
    }


def main(role: str) -> dict[str, Any]:
    # Without a name the SDK asks STS at https://sts.<region>.amazonaws.com, whatever AWS_ENDPOINT_URL says.
    session = sagemaker.Session(default_bucket="classic-notebook")
    region = session.boto_region_name
    s3 = boto3.client("s3")
    bucket = session.default_bucket()

    matrix, labels = ratings()
    train = upload(
        s3,
        bucket,
        "fm/train/train.protobuf",
        smac.write_spmatrix_to_sparse_tensor,
        matrix[:500],
        labels[:500],
    )
    test = upload(
        s3, bucket, "fm/test/test.protobuf", smac.write_spmatrix_to_sparse_tensor, matrix[500:], labels[500:]
    )
    fm = sagemaker.estimator.Estimator(
        image_uris.retrieve("factorization-machines", region),
        role,
        instance_count=1,
        instance_type="ml.c5.2xlarge",
        output_path=f"s3://{bucket}/fm/output",
        sagemaker_session=session,
    )
    fm.set_hyperparameters(
        feature_dim=WIDTH,
        predictor_type="binary_classifier",
        mini_batch_size=50,
        num_factors=FACTORS,
        epochs=30,
        factors_lr=0.05,
        linear_lr=0.05,
    )
    fm.fit({"train": train, "test": test})

    trained = session.describe_training_job(fm.latest_training_job.name)

    predictor = fm.deploy(
        initial_instance_count=1,
        instance_type="ml.m5.large",
        serializer=FactorizationMachineSerializer(),
        deserializer=JSONDeserializer(),
    )
    asked = matrix[500:510].toarray()
    scores = [prediction["score"] for prediction in predictor.predict(asked)["predictions"]]
    predictor.delete_endpoint(delete_endpoint_config=True)

    model = read_model(s3, bucket, fm.model_data)
    factors, linear, bias = (
        model["v"],
        model["w1_weight"].reshape(-1, 1),
        float(model["w0_weight"].ravel()[0]),
    )
    items = np.hstack([factors[USERS:], linear[USERS:]]).astype("float32")
    users = np.hstack([factors[:USERS], np.ones((USERS, 1))]).astype("float32")
    ordinals = np.arange(ITEMS).astype("float32")
    knn_train = upload(
        s3, bucket, "knn/train/items.protobuf", smac.write_numpy_to_dense_tensor, items, ordinals
    )
    knn_users = upload(s3, bucket, "knn/users/users.protobuf", smac.write_numpy_to_dense_tensor, users)
    knn = sagemaker.estimator.Estimator(
        image_uris.retrieve("knn", region),
        role,
        instance_count=1,
        instance_type="ml.m5.large",
        output_path=f"s3://{bucket}/knn/output",
        sagemaker_session=session,
    )
    knn.set_hyperparameters(
        feature_dim=FACTORS + 1,
        k=NEIGHBOURS,
        index_metric="INNER_PRODUCT",
        predictor_type="classifier",
        sample_size=ITEMS,
    )
    knn.fit({"train": knn_train})
    transformer = knn.transformer(
        1, "ml.m5.large", output_path=f"s3://{bucket}/knn/lists", accept="application/jsonlines; verbose=true"
    )
    transformer.transform(knn_users, content_type="application/x-recordio-protobuf")
    transformer.wait()
    lists = s3.get_object(Bucket=bucket, Key="knn/lists/users.protobuf.out")["Body"].read().splitlines()

    pair = asked @ factors
    raw = bias + asked @ linear[:, 0] + 0.5 * ((pair**2).sum(1) - asked**2 @ (factors**2).sum(1))
    return {
        "sdk": sagemaker.__version__,
        "scores": scores,
        "expected_scores": (1 / (1 + np.exp(-raw))).tolist(),
        "lists": [json.loads(line)["labels"] for line in lists],
        "expected_lists": np.argsort(users @ items.T, axis=1)[:, -NEIGHBOURS:].tolist(),
        "metrics": {metric["MetricName"]: metric["Value"] for metric in trained["FinalMetricDataList"]},
        "endpoints": len(session.sagemaker_client.list_endpoints()["Endpoints"]),
        "endpoint_configurations": len(session.sagemaker_client.list_endpoint_configs()["EndpointConfigs"]),
    }


if __name__ == "__main__":
    # The SDK asks every 10 to 30 seconds, for jobs that take minutes on AWS.
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(0.3)
    # It validates its settings when it reads them, and for each value again: two thirds of its time.
    sagemaker.utils.validate_sagemaker_config = lambda settings: None
    print("notebook: " + json.dumps(main(sys.argv[1])))
