"""A judged model becomes one version of its task's group."""

import functools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from fmrec.errors import FormatError, InputError, ThrottledError
from fmrec.registry import model_record, packages
from fmrec.registry.model_record import ModelRecord
from fmrec.registry.registration import register

IMAGE = "000000000000.dkr.ecr.eu-west-1.amazonaws.com/factorization-machines:1"
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:model-package/fmrec-recommend/7"
GROUP_ARN = "arn:aws:sagemaker:eu-west-1:000000000000:model-package-group/fmrec-recommend"
PLACES = {"record_uri": "s3://bucket/evaluations/monday/model.json", "evaluation_uri": None}


def creation(judged: ModelRecord, **places: Any) -> dict[str, Any]:
    return packages.creation(judged, **{"group": "fmrec-recommend", "image": IMAGE, **PLACES, **places})


PROPERTY = re.compile(r"[\w\s.:/=+\-@]+")
"""The model's own pattern of metadata, ``[\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@]*``, in Python's words."""


@functools.cache
def sagemaker() -> Any:
    """SageMaker's service model, of several megabytes."""
    return botocore.session.get_session().get_service_model("sagemaker")


def fits(shape_name: str, value: str) -> bool:
    shape = sagemaker().shape_for(shape_name)
    return len(value) <= int(shape.metadata["max"]) and "\n" not in value


def test_a_version_of_an_ensemble_names_every_artifact(judged: ModelRecord) -> None:
    uris = [judged.model_uri, "s3://bucket/models/fmrec-monday-fm-2-1/output/model.tar.gz"]
    request = creation(replace(judged, model_uris=uris), evaluation_uri=None)

    containers = request["InferenceSpecification"]["Containers"]
    assert containers == [{"Image": IMAGE, "ModelDataUrl": uri} for uri in uris]


def test_a_record_from_before_ensembles_can_still_be_read(judged: ModelRecord, tmp_path: Path) -> None:
    uri = str(tmp_path / "model.json")
    model_record.write(replace(judged, model_uris=["s3://a", "s3://b"]), uri)
    assert model_record.read(uri).model_uris == ["s3://a", "s3://b"]
    document = json.loads(Path(uri).read_text())
    del document["model_uris"]
    Path(uri).write_text(json.dumps(document))

    assert model_record.read(uri) == judged


@pytest.mark.parametrize(("passed", "status"), [(True, "Approved"), (False, "Rejected")])
def test_a_version_says_what_the_gate_made_of_it_and_where_everything_is(
    judged: ModelRecord, passed: bool, status: str
) -> None:
    request = creation(
        replace(judged, passed=passed), evaluation_uri="s3://bucket/evaluations/monday/ranking.json"
    )

    assert request["ModelApprovalStatus"] == status
    assert request["InferenceSpecification"]["Containers"] == [
        {"Image": IMAGE, "ModelDataUrl": judged.model_uri}
    ]
    statistics = request["ModelMetrics"]["ModelQuality"]["Statistics"]
    assert statistics == {
        "ContentType": "application/json",
        "S3Uri": "s3://bucket/evaluations/monday/ranking.json",
    }
    assert request["CustomerMetadataProperties"] == {
        "run": "monday",
        "task": "recommend",
        "model_version": "fmrec-monday-fm-1",
        "manifest_uri": judged.manifest_uri,
        "embeddings_uri": judged.embeddings_uri,
        "record_uri": "s3://bucket/evaluations/monday/model.json",
        "ndcg_at_10": "0.3051",
        "recall_at_10": "0.21",
    }


def test_without_a_ranking_report_the_record_tells_the_metrics(judged: ModelRecord) -> None:
    request = creation(replace(judged, embeddings_uri=None))

    statistics = request["ModelMetrics"]["ModelQuality"]["Statistics"]
    assert statistics["S3Uri"] == PLACES["record_uri"]
    assert "embeddings_uri" not in request["CustomerMetadataProperties"]


def test_everything_keeps_to_the_registrys_limits(judged: ModelRecord) -> None:
    metrics = {f"train:metric_{number}": number / 7 for number in range(80)} | {"tiny": -1.5e-7}
    uri = f"s3://bucket/evaluations/{'long-' * 80}/a (copy), 100 %.json"
    request = creation(replace(judged, metrics=metrics, verdict="Too long.\n" * 500), record_uri=uri)

    properties = request["CustomerMetadataProperties"]
    assert len(properties) == 50
    assert properties["run"] == "monday"
    for key, value in properties.items():
        assert fits("CustomerMetadataKey", key)
        assert fits("CustomerMetadataValue", value)
        assert PROPERTY.fullmatch(key)
        assert PROPERTY.fullmatch(value)
    assert fits("EntityDescription", request["ModelPackageDescription"])
    assert fits("ApprovalDescription", packages.one_line("Too long.\n" * 500))
    assert packages.one_line("Short\n enough.") == "Short enough."


def test_the_same_execution_asks_for_the_same_version_and_another_for_another(judged: ModelRecord) -> None:
    token = creation(judged)["ClientToken"]

    assert creation(judged)["ClientToken"] == token
    assert creation(replace(judged, execution_arn="arn:other"))["ClientToken"] != token
    assert fits("ClientToken", token)


@pytest.mark.parametrize("group", ["there", "missing", "made by another run meanwhile"])
def test_registering_makes_the_group_if_need_be_and_keeps_the_record(
    calls: Any, judged: ModelRecord, tmp_path: Path, group: str
) -> None:
    stubber, registry = calls
    name = {"ModelPackageGroupName": "fmrec-recommend"}
    record_uri = str(tmp_path / "evaluations/monday/model.json")
    if group == "there":
        stubber.add_response(
            "describe_model_package_group",
            name
            | {
                "ModelPackageGroupArn": GROUP_ARN,
                "CreationTime": 0,
                "CreatedBy": {},
                "ModelPackageGroupStatus": "Completed",
            },
            name,
        )
    else:
        stubber.add_client_error(
            "describe_model_package_group",
            "ValidationException",
            f"ModelPackageGroup {GROUP_ARN} does not exist.",
            expected_params=name,
        )
        if group == "missing":
            stubber.add_response("create_model_package_group", {"ModelPackageGroupArn": GROUP_ARN})
        else:
            stubber.add_client_error(
                "create_model_package_group",
                "ValidationException",
                f"Model Package Group already exists: {GROUP_ARN}",
            )
    stubber.add_response(
        "create_model_package", {"ModelPackageArn": ARN}, creation(judged, record_uri=record_uri)
    )
    stubber.add_response(
        "update_model_package",
        {"ModelPackageArn": ARN},
        {
            "ModelPackageArn": ARN,
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": judged.verdict,
        },
    )

    answer = register(
        registry,
        model={
            name: getattr(judged, name)
            for name in (
                *("run", "task", "model_version", "model_uri", "manifest_uri", "embeddings_uri"),
                *("hyperparameters", "serving", "execution_arn"),
            )
        },
        verdict={"passed": True, "sentence": judged.verdict, "metrics": judged.metrics, "checks": []},
        group="fmrec-recommend",
        image=IMAGE,
        record_uri=record_uri,
        evaluation_uri=None,
    )

    assert answer == {
        "group": "fmrec-recommend",
        "version": 7,
        "arn": ARN,
        "status": "Approved",
        "record_uri": record_uri,
    }
    assert model_record.read(record_uri) == replace(judged, model_package_arn=ARN)


def test_what_the_registry_refuses_is_not_taken_for_missing(calls: Any) -> None:
    stubber, registry = calls
    stubber.add_client_error(
        "describe_model_package", "ValidationException", f"ModelPackage {ARN} does not exist."
    )
    stubber.add_client_error("describe_model_package", "AccessDeniedException", "not today")

    assert registry.describe(ARN) is None
    with pytest.raises(Exception, match="not today"):
        registry.describe(ARN)


def test_throttling_is_told_in_the_error_s_class_which_is_all_that_the_workflow_sees(
    calls: Any,
) -> None:
    stubber, registry = calls
    stubber.add_client_error("update_model_package", "ThrottlingException", "Rate exceeded")
    with pytest.raises(ThrottledError, match="Rate exceeded"):
        registry.judge(ARN, "Approved", "good enough")


def test_a_damaged_record_is_refused_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "model.json"
    with pytest.raises(InputError):
        model_record.read(str(place))
    place.write_text('{"run": "a"}')
    with pytest.raises(FormatError, match="train it again"):
        model_record.read(str(place))
