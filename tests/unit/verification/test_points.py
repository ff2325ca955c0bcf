"""What the same evidence makes of each kind of point, and that the documentation lists them all."""

from pathlib import Path

import pytest

from fmrec.verification.evidence import Answer, Evidence, Job
from fmrec.verification.points import POINTS
from fmrec.verification.verdicts import Outcome, judge, markdown, point_table, write

ROOT = Path(__file__).resolve().parents[3]
REFUSED = (
    "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances, with current "
    "utilization of 0 Instances and a request delta of 1 Instances."
)


def job(step: str, task: str = "recommend", **facts: float | None) -> Job:
    known: dict[str, float | None] = {
        "seconds": None, "memory_gib": None, "planned_memory_gib": None, "planned_seconds": None
    }  # fmt: skip
    known |= facts
    return Job(
        task, step, "training", f"fmverify-{step}", "ml.m5.large",
        known["seconds"], known["memory_gib"], known["planned_memory_gib"], known["planned_seconds"],
    )  # fmt: skip


def test_without_evidence_every_point_is_open_and_says_why() -> None:
    verdicts = judge(Evidence("eu-west-1"))

    assert set(verdicts) == {point.name for point in POINTS}
    assert {verdict.status for verdict in verdicts.values()} == {"not settled"}
    assert all(verdict.seen for verdict in verdicts.values())


@pytest.mark.parametrize(
    ("used", "planned", "status"),
    [(2.0, 2.5, "confirmed"), (2.5, 2.5, "confirmed"), (2.6, 2.5, "refuted"), (None, 2.5, "not settled")],
)
def test_memory_is_confirmed_up_to_the_estimate(used: float | None, planned: float, status: str) -> None:
    evidence = Evidence("r", jobs=[job("fm_training", memory_gib=used, planned_memory_gib=planned)])

    assert judge(evidence)["fm-training-memory"].status == status


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(60, "confirmed"), (240, "confirmed"), (59, "refuted"), (241, "refuted"), (None, "not settled")],
)
def test_a_duration_is_confirmed_within_a_factor_of_two(seconds: float | None, status: str) -> None:
    evidence = Evidence("r", jobs=[job("knn_training", seconds=seconds, planned_seconds=120)])

    assert judge(evidence)["knn-training-seconds"].status == status


@pytest.mark.parametrize(
    ("error", "cause", "quota", "name_status", "text_status"),
    [
        ("SageMaker.ResourceLimitExceededException", REFUSED, "ml.m5.large for training job usage", "confirmed", "confirmed"),
        ("SageMaker.AmazonSageMakerException", REFUSED, "ml.m5.large for training job usage", "refuted", "confirmed"),
        ("SageMaker.ResourceLimitExceededException", REFUSED, "ml.m5.xlarge for training job usage", "confirmed", "refuted"),
        ("SageMaker.ResourceLimitExceededException", "Too many.", "ml.m5.large for training job usage", "confirmed", "refuted"),
    ],
)  # fmt: skip
def test_a_refusal_is_judged_by_its_name_and_by_its_text(
    error: str, cause: str, quota: str, name_status: str, text_status: str
) -> None:
    evidence = Evidence("r", answers={"refusal": Answer({"error": error, "cause": cause, "quota": quota})})
    verdicts = judge(evidence)

    assert verdicts["refusal-error"].status == name_status
    assert verdicts["refusal-text"].status == text_status


def test_a_probe_that_failed_leaves_its_point_open_with_the_reason() -> None:
    evidence = Evidence("r", answers={"fastfile": Answer(unanswered="ClientError: AccessDenied")})

    verdict = judge(evidence)["fastfile"]
    assert (verdict.status, verdict.seen) == ("not settled", "ClientError: AccessDenied")


def test_answers_are_compared_with_what_is_expected() -> None:
    answers = {"client_token": Answer(True), "sdk_error": Answer("SageMaker.Other"), "blank_lines": Answer(3)}
    verdicts = judge(Evidence("r", answers=answers))

    assert verdicts["client-token"].status == "confirmed"
    assert (verdicts["sdk-error"].status, verdicts["sdk-error"].seen) == (
        "refuted",
        "the error is SageMaker.Other",
    )
    assert verdicts["transform-blank-lines"].seen == "3 blank lines"


def test_the_verdicts_are_written_as_json_and_as_a_table(tmp_path: Path) -> None:
    evidence = Evidence("eu-west-1", answers={"fastfile": Answer("Failed: a | b")})
    outcome = Outcome(
        "eu-west-1", "2026-11-28T12:00:00+00:00", 12.34, judge(evidence), ("stack FmVerifyStorage",), None
    )

    as_json, as_markdown = write(outcome, tmp_path / "out")

    text = as_markdown.read_text()
    assert text == markdown(outcome)
    assert text.count("\n| ") == len(POINTS) + 2
    assert "the job ended Failed: a \\| b | refuted" in text
    assert f"Verified in eu-west-1, 2026-11-28: {len(POINTS) - 1} not settled, 1 refuted." in text
    assert '"left_behind": [\n    "stack FmVerifyStorage"\n  ]' in as_json.read_text()


def test_every_point_is_documented_where_it_says() -> None:
    assert point_table() in (ROOT / "docs/verify.md").read_text()
    for point in POINTS:
        document = point.documented.partition(",")[0]
        assert (ROOT / document).is_file(), f"{point.name} names {document}"
