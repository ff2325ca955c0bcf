"""What a run's report says, and what it cost."""

import json
from typing import Any

from fmrec.execution import run_report

CHOSEN = {
    "fm_training": {
        "instance_type": "ml.m5.large",
        "instance_count": 2,
        "usd_per_hour": 0.23,
        "why": "cheapest that fits",
    },
    "batch_transform": {
        "instance_type": "ml.c5.xlarge",
        "instance_count": 1,
        "usd_per_hour": 0.204,
        "why": "next",
    },
    "knn_endpoint": {
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "usd_per_hour": 0.115,
        "why": "small",
    },
}
JOBS = {
    "encoding": {"name": "job", "seconds": 61},
    "fm_training": {"name": "a", "seconds": 400, "billable_seconds": 360},
    "batch_transform": {"name": "b", "started": 1_795_000_000_000, "ended": 1_795_000_090_000},
}
REPORT: dict[str, Any] = {
    "run": "r-1",
    "chosen": CHOSEN,
    "jobs": JOBS,
    "refusals": [
        {"step": "batch_transform", "instance_type": "ml.m5.large", "cause": "limit 0"},
    ],
    "verdict": {"sentence": "The model is good enough."},
    "tuned": None,
    "model_package": {"group": "fmrec-recommend", "version": 3},
    "published": {"users": 943, "recommendations": 9430, "table": "T"},
    "decision": None,
    "endpoint": {"name": "e", "status": "InService", "answer": {"sentence": "The same."}},
}


def test_spent_is_the_price_of_all_instances_by_the_time_paid_for() -> None:
    spent = run_report.spent(CHOSEN, JOBS)

    assert spent["steps"]["fm_training"]["usd"] == round(360 / 3600 * 0.23, 6)
    assert spent["steps"]["batch_transform"]["seconds"] == 90.0
    assert spent["usd"] == round(0.023 + 90 / 3600 * 0.204, 6)
    assert set(spent["steps"]) == {"fm_training", "batch_transform"}


def test_an_unknown_price_or_time_is_unknown_and_not_nothing() -> None:
    chosen = {"fm_training": {**CHOSEN["fm_training"], "usd_per_hour": None}}
    assert run_report.spent(chosen, JOBS)["usd"] is None
    assert run_report.spent(CHOSEN, {"fm_training": {"name": "a"}})["usd"] is None


def test_times_are_read_as_milliseconds_seconds_or_text() -> None:
    def seconds(started: Any, ended: Any) -> Any:
        jobs = {"batch_transform": {"started": started, "ended": ended}}
        return run_report.spent(CHOSEN, jobs)["steps"]["batch_transform"]["seconds"]

    assert seconds(1_795_000_000.5, 1_795_000_001.0) == 0.5
    assert seconds("2026-11-21T10:00:00Z", "2026-11-21T10:01:00+00:00") == 60.0
    assert seconds("soon", "later") is None


def test_write_keeps_the_facts_and_answers_with_a_message(tmp_path: Any) -> None:
    uri = str(tmp_path / "runs/r-1/report.json")
    answer = run_report.write(REPORT, uri)

    document = json.loads((tmp_path / "runs/r-1/report.json").read_text())
    assert document["version"] == 1
    assert document["jobs"] == JOBS
    assert document["spent"]["usd"] > 0
    assert answer["uri"] == uri
    assert answer["subject"] == "Run r-1 succeeded: 943 users have recommendations"
    for part in (
        "The model is good enough.",
        "9,430 recommendations to the table T",
        "The endpoint e is in service. The same.",
        "fm_training ran on 2 x ml.m5.large: cheapest that fits",
        "batch_transform was refused ml.m5.large: limit 0",
        uri,
    ):
        assert part in answer["message"]


def test_a_model_of_ratings_says_what_its_scores_mean_and_nothing_of_lists() -> None:
    scored = {
        **REPORT,
        "published": {"users": 0, "recommendations": 0, "table": "T"},
        "decision": {"threshold": 0.47, "sentence": "A score of 0.4700 or more means yes."},
    }

    message = run_report.message(scored, "u")
    assert message.startswith("Run r-1 succeeded: its model scores pairs, it makes no lists.")
    assert "A score of 0.4700 or more means yes." in message
    assert "the table T" not in message


TRIALS: dict[str, Any] = {
    "objective": "ndcg_at_10",
    "value": 0.31,
    "best": 2,
    "hyperparameters": {"epochs": "4", "factors_wd": "2e-05"},
    "trials": [
        {
            "number": number,
            "hyperparameters": {"epochs": "4", "factors_wd": decay},
            "job": {"seconds": 150, "billable_seconds": 120},
            "usd": 0.0038,
            "ndcg": ndcg,
        }
        for number, decay, ndcg in ((1, "3e-05", 0.3), (2, "2e-05", 0.31))
    ],
    "limits": {"jobs": 2, "wanted_jobs": 2},
}


def test_trials_cost_what_their_jobs_were_paid_for_and_an_unknown_amount_where_one_failed() -> None:
    spent = run_report.spent(CHOSEN, JOBS, TRIALS)

    assert spent["steps"]["fm_trials"] == {"trials": 2, "seconds": 240.0, "usd": 0.0076}
    assert spent["usd"] == round(run_report.spent(CHOSEN, JOBS)["usd"] + 0.0076, 6)
    broken = {**TRIALS, "trials": [*TRIALS["trials"], {"number": 3, "why": "NaN"}]}
    assert run_report.spent(CHOSEN, JOBS, broken)["usd"] is None
    refused = {**TRIALS, "trials": [*TRIALS["trials"], {"number": 3, "why": "refused", "usd": 0}]}
    assert run_report.spent(CHOSEN, JOBS, refused)["usd"] == spent["usd"]


def test_a_run_says_what_its_trials_chose_and_what_the_runs_own_values_reach() -> None:
    message = run_report.message({**REPORT, "tuned": TRIALS}, "u")

    assert (
        "trial 2 of 2: factors_wd 2e-05, NDCG 0.3100 on validation rows; with the run's own values 0.3000; "
        "0.0076 USD."
    ) in message


def test_a_tuned_run_says_what_was_chosen_and_what_it_could_cost() -> None:
    tuned = {
        "objective": "test:rmse",
        "value": 0.91,
        "hyperparameters": {"factors_lr": "0.004", "epochs": "7"},
        "limits": {
            "wanted_jobs": 10,
            "jobs": 6,
            "seconds_per_job": 300,
            "usd_at_most": 0.0575,
            "maximum_usd": 0.06,
        },
    }
    message = run_report.message({**REPORT, "tuned": tuned}, "u")

    assert "Tuning chose factors_lr 0.004, epochs 7 on validation rows, with test:rmse 0.91." in message
    assert "6 jobs (of 10 that were wanted) of at most 300 seconds, 0.0575 of 0.06 dollars" in message


def test_a_serverless_endpoint_is_no_number_of_instances_and_costs_nothing_a_month() -> None:
    serverless = {
        "instance_type": "serverless",
        "instance_count": 0,
        "memory_mb": 2048,
        "maximum_concurrency": 5,
        "usd_per_hour": 0.0,
        "why": "by the settings",
    }
    endpoint = {**REPORT["endpoint"], "instance_type": "serverless"}
    report = {**REPORT, "chosen": {**CHOSEN, "knn_endpoint": serverless}, "endpoint": endpoint}
    report["spent"] = run_report.spent(report["chosen"], JOBS)

    text = run_report.message(report, "u")

    assert "knn_endpoint ran on serverless, 2048 MB: by the settings" in text
    assert "Cost: 0.0281 USD for the SageMaker jobs; the endpoint is paid by the call." in text


def test_a_run_without_an_endpoint_says_why() -> None:
    report = {**REPORT, "endpoint": {"name": "e", "status": "BatchOnly", "why": "no instance was left"}}

    assert "No endpoint was brought up to date: no instance was left" in run_report.message(report, "u")
