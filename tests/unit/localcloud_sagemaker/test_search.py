"""Search: filters, nested filters, expressions, order and pages; and deleting training jobs."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.faults import ServiceFault


def found(cloud: Any, *filters: dict[str, Any], **parameters: Any) -> list[str]:
    expression = {"Filters": list(filters)} if filters else {}
    request: dict[str, Any] = {
        "Resource": "TrainingJob",
        "SortBy": "TrainingJobName",
        "SortOrder": "Ascending",
    }
    request |= {"SearchExpression": expression} if expression else {}
    answer = cloud("Search", **request | parameters)
    assert answer["TotalHits"]["Relation"] == "EqualTo"
    return [result["TrainingJob"]["TrainingJobName"] for result in answer["Results"]]


def test_no_expression_finds_all(finished_jobs: Any) -> None:
    assert found(finished_jobs) == ["large", "other", "small"]


@pytest.mark.parametrize(
    ("name", "operator", "value", "expected"),
    [
        ("TrainingJobName", "Contains", "l", ["large", "small"]),
        ("TrainingJobName", "Equals", "other", ["other"]),
        ("TrainingJobName", "NotEquals", "other", ["large", "small"]),
        ("TrainingJobName", "In", "other,small", ["other", "small"]),
        ("HyperParameters.k", "GreaterThan", "3", ["large", "other"]),
        ("HyperParameters.k", "GreaterThanOrEqualTo", "5", ["large", "other"]),
        ("HyperParameters.k", "LessThan", "5", ["small"]),
        ("HyperParameters.k", "LessThanOrEqualTo", "5", ["other", "small"]),
        ("ResourceConfig.InstanceType", "Equals", "ml.m5.large", ["large", "other", "small"]),
        ("Metrics.train:rmse", "LessThan", "2", ["large", "other", "small"]),
        ("Metrics.train:rmse", "GreaterThan", "2", []),
        ("CreationTime", "GreaterThan", "2020-01-01T00:00:00Z", ["large", "other", "small"]),
        ("CreationTime", "LessThan", "2020-01-01T00:00:00", []),
        ("CreationTime", "LessThan", "yesterday", []),
        ("Tags.Value", "Equals", "small", ["small"]),
        ("Tags.Value", "Exists", None, ["large", "small"]),
        ("Tags.Value", "NotExists", None, ["other"]),
        ("Nothing.Such", "Equals", "1", []),
    ],
)
def test_a_filter_compares_as_its_operator_says(
    finished_jobs: Any, name: str, operator: str, value: str | None, expected: list[str]
) -> None:
    entry = {"Name": name, "Operator": operator} | ({} if value is None else {"Value": value})
    assert found(finished_jobs, entry) == expected


def test_expressions_nest_and_combine(finished_jobs: Any) -> None:
    small = {"Name": "TrainingJobName", "Operator": "Equals", "Value": "small"}
    large = {"Name": "TrainingJobName", "Operator": "Equals", "Value": "large"}
    assert found(finished_jobs, small, large) == []
    either = {"Filters": [small, large], "Operator": "Or"}
    assert found(finished_jobs, SearchExpression=either) == ["large", "small"]
    tagged = {
        "NestedPropertyName": "Tags",
        "Filters": [
            {"Name": "Tags.Key", "Operator": "Equals", "Value": "project"},
            {"Name": "Tags.Value", "Operator": "Equals", "Value": "large"},
        ],
    }
    assert found(finished_jobs, SearchExpression={"NestedFilters": [tagged], "SubExpressions": [either]}) == [
        "large"
    ]


def test_results_come_in_pages_in_their_order(finished_jobs: Any) -> None:
    first = finished_jobs("Search", Resource="TrainingJob", SortBy="HyperParameters.k", MaxResults=2)
    assert first["TotalHits"]["Value"] == 3
    second = finished_jobs(
        "Search",
        Resource="TrainingJob",
        SortBy="HyperParameters.k",
        MaxResults=2,
        NextToken=first["NextToken"],
    )
    names = [result["TrainingJob"]["TrainingJobName"] for result in first["Results"] + second["Results"]]
    assert names == ["other", "small", "large"]  # as texts, descending: "5", "3", "20"
    assert "NextToken" not in second
    assert first["Results"][0]["TrainingJob"]["Tags"] == []


def test_the_registry_is_searched_too(cloud: Any) -> None:
    cloud("CreateModelPackageGroup", ModelPackageGroupName="recommender")
    answer = cloud("Search", Resource="ModelPackageGroup")
    assert answer["Results"][0]["ModelPackageGroup"]["ModelPackageGroupName"] == "recommender"
    assert cloud("Search", Resource="ModelPackage")["Results"] == []
    assert cloud("Search", Resource="Endpoint")["Results"] == []


def test_what_cannot_be_searched_is_refused(cloud: Any) -> None:
    with pytest.raises(ServiceFault, match=r"searches TrainingJob, .*; Pipeline is none of them"):
        cloud("Search", Resource="Pipeline")
    cloud.trained()
    with pytest.raises(ServiceFault, match="has no Value for Equals"):
        found(cloud, {"Name": "TrainingJobName", "Operator": "Equals"})
    with pytest.raises(ServiceFault, match="Invalid pagination token"):
        cloud("Search", Resource="TrainingJob", NextToken="x")


def test_a_training_job_that_has_ended_is_deleted(cloud: Any) -> None:
    cloud.trained(name="gone")
    cloud("DeleteTrainingJob", TrainingJobName="gone")
    assert found(cloud) == []
    with pytest.raises(ServiceFault, match="Could not find training job 'gone'") as missing:
        cloud("DeleteTrainingJob", TrainingJobName="gone")
    assert missing.value.code == "ResourceNotFound"
