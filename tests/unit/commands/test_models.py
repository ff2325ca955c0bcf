"""``fmrec models``, ``promote`` and ``rollback``."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fmrec import cli
from fmrec.commands import models, run
from fmrec.commands.models import render, version

ARN = "arn:aws:sagemaker:eu-west-1:000000000000:model-package/fmrec-recommend/{}"


def package(number: int, run: str, status: str, **facts: str) -> dict[str, Any]:
    return {
        "ModelPackageVersion": number,
        "ModelPackageArn": ARN.format(number),
        "ModelApprovalStatus": status,
        "CreationTime": datetime(2026, 11, 21, 10, number, tzinfo=UTC),
        "CustomerMetadataProperties": {"run": run, "model_version": f"fmrec-{run}-fm-1", **facts},
    }


def test_the_list_says_what_was_measured_and_which_one_serves() -> None:
    packages = [
        package(12, "friday", "Rejected", ndcg_at_10="0.0620"),
        package(3, "monday", "Approved", ndcg_at_10="0.305129", recall_at_10="0.2"),
    ]
    versions = [version(each, "fmrec-monday-fm-1") for each in packages]

    assert [each.serves for each in versions] == [False, True]
    assert (versions[1].metric, versions[1].value) == ("ndcg_at_10", 0.305129)
    assert render(versions).splitlines() == [
        "version  run     status    measured           registered",
        "     12  friday  Rejected  ndcg_at_10 0.0620  2026-11-21 10:12:00+00:00",
        "      3  monday  Approved  ndcg_at_10 0.3051  2026-11-21 10:03:00+00:00  serves",
    ]


def test_a_version_that_somebody_else_registered_is_listed_without_guessing() -> None:
    found = version(package(1, "x", "PendingManualApproval") | {"CustomerMetadataProperties": {}}, None)

    assert (found.run, found.metric, found.value, found.serves) == ("-", None, None, False)
    assert "-" in render([found])


def test_ratings_are_listed_by_their_accuracy() -> None:
    found = version(package(1, "x", "Approved", binary_classification_accuracy="0.71"), None)

    assert (found.metric, found.value) == ("binary_classification_accuracy", 0.71)


def test_versions_are_described_latest_first_and_a_missing_group_has_none(calls: Any) -> None:
    stubber, registry = calls
    summary = {
        "ModelPackageArn": ARN.format(2),
        "CreationTime": 0,
        "ModelPackageStatus": "Completed",
    }
    stubber.add_response(
        "list_model_packages",
        {"ModelPackageSummaryList": [summary]},
        {
            "ModelPackageGroupName": "fmrec-recommend",
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "MaxResults": 5,
        },
    )
    described = {
        "ModelPackageName": "fmrec-recommend",
        "ModelPackageArn": ARN.format(2),
        "CreationTime": 0,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
    }
    stubber.add_response("describe_model_package", described)
    stubber.add_client_error(
        "list_model_packages", "ValidationException", "ModelPackageGroup arn:x does not exist."
    )

    assert [each["ModelPackageArn"] for each in registry.latest("fmrec-recommend", 5)] == [ARN.format(2)]
    assert list(registry.latest("fmrec-recommend", 5)) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["promote", "12"], {"promote": "12"}),
        (["promote", "monday", "--name", "n"], {"promote": "monday"}),
        (["rollback"], {"rollback": True}),
    ],
)
def test_promote_and_rollback_are_one_input_of_the_state_machine(
    monkeypatch: Any, line: list[str], expected: dict[str, Any]
) -> None:
    started = []

    def execute(arguments: Any, execution_input: dict[str, Any]) -> int:
        started.append((arguments.stack, execution_input))
        return 1

    monkeypatch.setattr(models, "execute", execute)

    assert cli.main(line) == 1
    assert started == [(run.PIPELINE_STACK, expected)]


@pytest.mark.parametrize("line", [["models", "--limit", "0"], ["models", "--task", "other"], ["promote"]])
def test_wrong_arguments_are_refused(line: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(line)

    assert ended.value.code == 2
    assert "usage: fmrec" in capsys.readouterr().err
