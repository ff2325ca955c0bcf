"""How a deployment stands: what is printed, and what counts as wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from fmrec.operation import status
from fmrec.operation.endpoints import Endpoint
from fmrec.operation.starting import Memory
from fmrec.operation.status import Run, Status
from fmrec.registry.champion import Champion

NOW = datetime(2026, 11, 28, 19, 30, tzinfo=UTC)
REPORT: dict[str, Any] = {
    "evaluation": {
        "k": 10,
        "model": {"metrics": {"ndcg_at_10": 0.2988}},
        "baselines": {"most_rated": {"metrics": {"ndcg_at_10": 0.1333}}},
        "champion": None,
    },
    "published": {"users": 943, "recommendations": 9430, "changes": {"sentence": "9 of 10 lists stayed."}},
    "spent": {"usd": 0.05},
    "started_by": "schedule",
}
CHAMPION = Champion(
    "monday", "recommend", "fmrec-monday-fm-1", "m", "x", "e", since=(NOW - timedelta(days=3)).isoformat()
)
GOOD = Run("tuesday", "SUCCEEDED", NOW - timedelta(days=1), 1800.0, "schedule", "NDCG@10 0.2988", 0.05)
KNN = Endpoint("fmrec-knn", "InService", NOW - timedelta(days=3), "1 x ml.m5.large", 42, NOW, 83.95)


def standing(**changes: Any) -> Status:
    usual: dict[str, Any] = {
        "dataset": "default", "now": NOW, "runs": [GOOD], "champion": CHAMPION, "champion_report": REPORT,
        "endpoints": [KNN],
    }  # fmt: skip
    return Status(**{**usual, **changes})


def test_the_terminal_shows_runs_what_serves_quality_age_and_cost() -> None:
    said = Memory(said="Nothing has changed since run tuesday was started: skipped.", said_at="19:00")
    old = replace(GOOD, name="august", started=NOW - timedelta(days=90), usd=7.0)
    text = status.render(standing(starter=said, runs=[GOOD, old]))
    for part in (
        "serves     fmrec-monday-fm-1, for 3 days",
        "quality    NDCG@10 0.2988; popularity's 0.1333, there was no champion",
        "lists      943 users, 9,430 recommendations",
        "changes    9 of 10 lists stayed.",
        "cost       0.05 USD for the SageMaker jobs of 30 days; endpoints 83.95 USD a month",
        "endpoint   fmrec-knn: InService, 1 x ml.m5.large, 42 calls in 14 days; 83.95 USD a month",
        "starter    Nothing has changed since run tuesday was started: skipped. (19:00)",
        "tuesday  SUCCEEDED  2026-11-27 19:30  1,800 s  schedule    0.0500  NDCG@10 0.2988",
        "Nothing is wrong.",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"champion": None, "champion_report": None}, "No model serves yet"),
        ({"runs": [replace(GOOD, status="FAILED", why="Half the rows are gone.")]}, "ended as FAILED: Half the rows"),
        ({"alarms": ["A run failed: …"]}, "Alarm: A run failed"),
        ({"endpoints": [replace(KNN, status="Failed", failure="no capacity")]}, "fmrec-knn is Failed. no capacity"),
        ({"endpoints": [replace(KNN, calls=0)]}, "`fmrec endpoints --stop fmrec-knn` saves 83.95 USD a month"),
    ],
)  # fmt: skip
def test_what_a_person_has_to_look_at_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    found = standing(**changes)
    (wrong,) = found.wrong()
    assert sentence in wrong
    assert f"! {wrong}" in status.render(found)
    assert json.loads(json.dumps(found.to_document()))["wrong"] == [wrong]


def test_what_is_under_way_or_new_is_not_wrong() -> None:
    running = Run("now", "RUNNING", NOW, None)
    young = replace(KNN, calls=0, since=NOW - timedelta(hours=2))
    assert standing(runs=[running, GOOD], endpoints=[young]).wrong() == []
    serverless = replace(KNN, calls=0, instances="serverless, 2048 MB", usd_per_month=0.0)
    free = standing(endpoints=[serverless])
    assert free.wrong() == []
    assert "serverless, 2048 MB, 0 calls in 14 days; paid by the call" in status.render(free)
    assert "No run yet." in status.render(standing(runs=[]))


def test_runs_come_with_what_their_reports_and_failures_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arn = "arn:aws:states:eu-west-1:000000000000:execution:m"
    client = boto3.client(
        "stepfunctions", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    monkeypatch.setattr(status, "read_report", lambda bucket, run: REPORT if run == "good" else None)
    with Stubber(client) as stubber:
        listed = [
            {
                "executionArn": f"{arn}:{name}", "stateMachineArn": "arn:m", "name": name, "status": state,
                "startDate": NOW - timedelta(minutes=30), **({} if state == "RUNNING" else {"stopDate": NOW}),
            }
            for name, state in (("now", "RUNNING"), ("bad", "FAILED"), ("good", "SUCCEEDED"))
        ]  # fmt: skip
        stubber.add_response(
            "list_executions", {"executions": listed}, {"stateMachineArn": "arn:m", "maxResults": 3}
        )
        stubber.add_response(
            "describe_execution",
            {**listed[1], "cause": "Half the rows are gone."},
            {"executionArn": f"{arn}:bad"},
        )
        now, bad, good = status.last_runs(client, "arn:m", "bucket", 3)
    assert (now.status, now.seconds) == ("RUNNING", None)
    assert (bad.why, bad.usd) == ("Half the rows are gone.", None)
    assert (good.seconds, good.started_by, good.usd) == (1800.0, "schedule", 0.05)
    assert good.quality.startswith("NDCG@10 0.2988")
