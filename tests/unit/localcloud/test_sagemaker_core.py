"""The resource classes of sagemaker-core (the SageMaker Python SDK v3) as a client of the local cloud."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
import pytest

from fmrec import recordio
from localcloud.home import Home, client_environment

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/knn:1"
RECORDIO = "application/x-recordio-protobuf"


@pytest.fixture(scope="module")
def session(cloud: Any) -> Iterator[Any]:
    """The SDK takes its clients from the environment, once in a process."""
    record = Home.at(cloud.state).read()
    assert record is not None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in client_environment(record).items():
            patch.setenv(name, value)
        yield boto3.session.Session()


def put(s3: Any, key: str, *arrays: np.ndarray) -> None:
    file = io.BytesIO()
    recordio.write_numpy_to_dense_tensor(file, *arrays)
    s3.put_object(Bucket="core", Key=key, Body=file.getvalue())


def test_resources_are_made_watched_listed_searched_and_deleted(cloud: Any, session: Any) -> None:
    from sagemaker.core import resources, shapes  # type: ignore[import-untyped]

    s3, role = cloud.client("s3"), cloud.role("core", "sagemaker", "s3:*")
    s3.create_bucket(Bucket="core")
    generator = np.random.default_rng(0)
    items, users = generator.normal(size=(50, 4)).astype("f4"), generator.normal(size=(5, 4)).astype("f4")
    put(s3, "train/items", items, np.arange(50, dtype="f4"))
    put(s3, "users/users", users)

    source = shapes.S3DataSource(s3_data_type="S3Prefix", s3_uri="s3://core/train/")
    job = resources.TrainingJob.create(
        training_job_name="core-knn",
        session=session,
        role_arn=role,
        algorithm_specification=shapes.AlgorithmSpecification(training_image=IMAGE, training_input_mode="File"),
        input_data_config=[
            shapes.Channel(
                channel_name="train",
                content_type=RECORDIO,
                data_source=shapes.DataSource(s3_data_source=source),
            )
        ],
        output_data_config=shapes.OutputDataConfig(s3_output_path="s3://core/models/"),
        resource_config=shapes.ResourceConfig(
            instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10
        ),
        stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=600),
        hyper_parameters={"k": "3", "feature_dim": "4", "predictor_type": "classifier", "sample_size": "50", "index_metric": "INNER_PRODUCT"},
    )  # fmt: skip
    job.wait(poll=1)
    assert job.refresh().training_job_status == "Completed"
    assert [found.training_job_name for found in resources.TrainingJob.get_all(name_contains="core-")] == [
        "core-knn"
    ]
    searched = cloud.client("sagemaker").search(
        Resource="TrainingJob",
        SearchExpression={"Filters": [{"Name": "HyperParameters.k", "Operator": "LessThan", "Value": "4"}]},
    )
    assert "core-knn" in [result["TrainingJob"]["TrainingJobName"] for result in searched["Results"]]

    model = resources.Model.create(
        model_name="core-model",
        execution_role_arn=role,
        primary_container=shapes.ContainerDefinition(
            image=IMAGE, model_data_url=job.model_artifacts.s3_model_artifacts
        ),
    )
    transform = resources.TransformJob.create(
        transform_job_name="core-transform",
        model_name="core-model",
        transform_input=shapes.TransformInput(
            data_source=shapes.TransformDataSource(
                s3_data_source=shapes.TransformS3DataSource(
                    s3_data_type="S3Prefix", s3_uri="s3://core/users/"
                )
            ),
            content_type=RECORDIO,
        ),
        transform_output=shapes.TransformOutput(
            s3_output_path="s3://core/lists/", accept="application/jsonlines; verbose=true"
        ),
        transform_resources=shapes.TransformResources(instance_type="ml.m5.large", instance_count=1),
    )
    transform.wait(poll=1)
    assert "core-transform" in [found.transform_job_name for found in resources.TransformJob.get_all()]
    lines = s3.get_object(Bucket="core", Key="lists/users.out")["Body"].read().splitlines()
    best = np.argsort(users @ items.T, axis=1)[:, -3:]
    assert [json.loads(line)["labels"] for line in lines] == best.astype(float).tolist()

    configuration = resources.EndpointConfig.create(
        endpoint_config_name="core-configuration",
        production_variants=[
            shapes.ProductionVariant(
                variant_name="all",
                model_name="core-model",
                instance_type="ml.m5.large",
                initial_instance_count=1,
            )
        ],
    )
    endpoint = resources.Endpoint.create(
        endpoint_name="core-endpoint", endpoint_config_name="core-configuration"
    )
    endpoint.wait_for_status("InService", poll=1)
    body = json.dumps({"instances": [{"features": users[0].tolist()}]})
    answer = json.loads(endpoint.invoke(body=body, content_type="application/json").body.read())
    assert answer["predictions"][0]["predicted_label"] in best[0]
    assert ("core-endpoint", "InService") in [
        (found.endpoint_name, found.endpoint_status) for found in resources.Endpoint.get_all()
    ]
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    configuration.delete()
    model.delete()
    job.delete()
    names = cloud.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert "core-knn" not in [entry["TrainingJobName"] for entry in names]
