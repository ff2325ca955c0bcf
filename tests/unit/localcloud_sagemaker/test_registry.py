"""The model registry."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.faults import ServiceFault

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/knn:1"


def register(cloud: Any, artifact: str = "s3://bucket/model.tar.gz", **changes: Any) -> str:
    request: dict[str, Any] = {
        "ModelPackageGroupName": "recommender",
        "InferenceSpecification": {"Containers": [{"Image": IMAGE, "ModelDataUrl": artifact}]},
        "CustomerMetadataProperties": {"ndcg_at_10": "0.30"},
        "ModelMetrics": {
            "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/m"}}
        },
    }
    return str(cloud("CreateModelPackage", **request | changes)["ModelPackageArn"])


@pytest.fixture
def group(cloud: Any) -> Any:
    cloud("CreateModelPackageGroup", ModelPackageGroupName="recommender")
    return cloud


def test_versions_are_numbered_and_listed(group: Any) -> None:
    first, second = register(group), register(group, ModelApprovalStatus="Approved")
    assert first.endswith("model-package/recommender/1")
    assert second.endswith("model-package/recommender/2")
    described = group("DescribeModelPackage", ModelPackageName=first)
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == "s3://b/m"
    pages = [
        group("ListModelPackages", ModelPackageGroupName="recommender", SortOrder="Descending", MaxResults=1),
        group("ListModelPackages", ModelPackageGroupName="recommender", ModelApprovalStatus="Approved"),
        group("ListModelPackages"),
    ]
    versions = [[entry["ModelPackageVersion"] for entry in page["ModelPackageSummaryList"]] for page in pages]
    assert versions[1:] == [[2], []]
    assert "NextToken" in pages[0]


def test_a_repeated_call_makes_no_second_version(group: Any) -> None:
    first = register(group, ClientToken="run-1")
    assert register(group, ClientToken="run-1") == first
    assert register(group, ClientToken="run-2").endswith("recommender/2")


def test_versions_take_no_tags(group: Any) -> None:
    with pytest.raises(ServiceFault, match="tag the group"):
        register(group, Tags=[{"Key": "run", "Value": "1"}])


def test_approval_and_notes_change(group: Any) -> None:
    arn = register(group)
    group(
        "UpdateModelPackage",
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="beats popularity",
        CustomerMetadataProperties={"champion": "yes", "run": "7"},
        CustomerMetadataPropertiesToRemove=["run"],
    )
    described = group("DescribeModelPackage", ModelPackageName=arn)
    assert described["ModelApprovalStatus"] == "Approved"
    assert described["ApprovalDescription"] == "beats popularity"
    assert described["CustomerMetadataProperties"] == {"ndcg_at_10": "0.30", "champion": "yes"}


def test_a_deleted_versions_number_is_not_used_again(group: Any) -> None:
    arn = register(group)
    with pytest.raises(ServiceFault, match="contains Model Packages"):
        group("DeleteModelPackageGroup", ModelPackageGroupName="recommender")
    group("DeleteModelPackage", ModelPackageName=arn)
    assert register(group).endswith("/2")
    assert group("DescribeModelPackageGroup", ModelPackageGroupName="recommender")[
        "ModelPackageGroupStatus"
    ] == ("Completed")


def test_a_model_from_a_package_serves_its_artifact(group: Any) -> None:
    group.trained("job")
    arn = register(group, "s3://bucket/models/job/output/model.tar.gz")
    role = "arn:aws:iam::000000000000:role/training"
    group("CreateModel", ModelName="m", PrimaryContainer={"ModelPackageName": arn}, ExecutionRoleArn=role)
    assert group("DescribeModel", ModelName="m")["PrimaryContainer"]["ModelPackageName"] == arn
    group.config("c", "m")
    assert group.endpoint(config="c")["EndpointStatus"] == "InService"


def test_unknown_groups_packages_and_images_are_refused(group: Any) -> None:
    with pytest.raises(ServiceFault, match="model-package-group/other does not exist"):
        register(group, ModelPackageGroupName="other")
    with pytest.raises(ServiceFault, match="model-package/nothing does not exist"):
        group("DescribeModelPackage", ModelPackageName="nothing")
    with pytest.raises(ServiceFault, match="Requested image x not found"):
        register(group, InferenceSpecification={"Containers": [{"Image": "x"}]})
    with pytest.raises(ServiceFault, match="already exists"):
        group("CreateModelPackageGroup", ModelPackageGroupName="recommender")


def test_the_registry_survives_a_restart(make_cloud: Any) -> None:
    first = make_cloud()
    first("CreateModelPackageGroup", ModelPackageGroupName="recommender")
    arn = register(first)
    first.service.close()
    second = make_cloud()
    assert second("DescribeModelPackage", ModelPackageName=arn)["ModelPackageVersion"] == 1
    assert register(second).endswith("/2")
