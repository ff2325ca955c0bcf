"""Plans of several training jobs at the same time: tuning, and ensembles."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from fmrec.instances.catalogue import catalogue
from fmrec.instances.plan import plan
from fmrec.instances.policy import Policy
from fmrec.instances.quotas import Account
from tests.unit.instances.planned_sizes import sizes


def test_parallel_tuning_jobs_count_against_the_quotas_together() -> None:
    across = "Number of instances across all training jobs"
    policy = {"instance_counts": {"fm_tuning": 2}}

    def tuned(limit: float) -> dict[str, Any]:
        tuning = {"maximum_jobs": 20, "parallel_jobs": 3}
        document = plan(sizes(100_000), {}, {}, policy, Account({across: limit}), tuning=tuning)
        found: dict[str, Any] = document["steps"]["fm_tuning"]
        return found

    first = tuned(6)["candidates"][0]
    assert (first["instance_type"], first["instance_count"]) == ("ml.m5.large", 2)
    assert first["usd_per_hour"] == pytest.approx(6 * 0.115)
    five = tuned(5)
    assert five["candidates"] == []
    assert f"'{across}' is 5, 0 in use, 6 wanted" in five["no_candidate"]
    assert five["quota_increase"]["desired_value"] == 6


def test_tuning_takes_its_rounds_times_one_training_and_no_more_jobs_than_there_are() -> None:
    def items(**tuning: int) -> dict[str, Any]:
        found: dict[str, Any] = plan(sizes(100_000), {}, {}, {}, tuning=tuning)["cost"]["run"]["items"]
        return found

    one = items(maximum_jobs=1)["fm_training"]["hours"]
    assert items(maximum_jobs=20, parallel_jobs=3)["fm_tuning"]["hours"] == pytest.approx(7 * one, abs=1e-3)
    assert items(maximum_jobs=2, parallel_jobs=9)["fm_tuning"]["instance_count"] == 2
    steps = plan(sizes(100_000), {}, {}, {})["steps"]
    assert "fm_tuning" not in steps
    assert "evaluation" not in steps


def test_trials_take_at_most_three_trainings_and_run_as_many_at_a_time_as_quotas_allow() -> None:
    across = "Number of instances across all training jobs"
    tuning = {"maximum_jobs": 12, "parallel_jobs": 4, "most_factors": 256}

    def planned(limit: float) -> dict[str, Any]:
        return plan(sizes(100_000), {"num_factors": 64}, {}, {}, Account({across: limit}), tuning=tuning)

    found = planned(4)
    step, items = found["steps"]["fm_trials"], found["cost"]["run"]["items"]
    assert (step["needs"]["parallel_jobs"], step["needs"]["inputs"]["num_factors"]) == (4, 256)
    assert items["fm_trials"]["hours"] == pytest.approx(3 * items["fm_training"]["hours"], abs=1e-3)
    assert sum(step["seconds"].values()) == pytest.approx(items["fm_training"]["hours"] * 3600, abs=0.5)
    # The encoding is made a second time, with validation rows.
    assert items["glue_validation"]["amount"] == items["glue"]["amount"]
    assert planned(2)["steps"]["fm_trials"]["needs"]["parallel_jobs"] == 2
    assert planned(0)["steps"]["fm_trials"]["candidates"] == []


def quotas_of(**values: float) -> Account:
    return Account(
        quotas={f"{name.replace('_', '.')} for training job usage": v for name, v in values.items()}
    )


def test_an_ensemble_counts_all_its_jobs_against_the_quotas_and_prices_them_together() -> None:
    account = quotas_of(ml_m5_large=2, ml_m5_xlarge=3)
    policy = Policy(families=("m5",))
    one, three = (
        plan(sizes(100_000), {}, {}, policy, account, ensemble=count)["steps"]["fm_training"]
        for count in (1, 3)
    )

    assert one["candidates"][0]["instance_type"] == "ml.m5.large"
    # Two instances are not enough for three jobs at the same time.
    assert three["candidates"][0]["instance_type"] == "ml.m5.xlarge"
    assert three["needs"]["parallel_jobs"] == 3
    assert three["candidates"][0]["usd_per_hour"] == pytest.approx(3 * 0.23)
    assert "quota 'ml.m5.large for training job usage' is 2" in three["rejected"][0]["why"]


def test_an_ensemble_that_no_quota_has_room_for_runs_as_many_jobs_as_there_is_room_for() -> None:
    account = quotas_of(**{name.replace(".", "_"): 0 for name in (kind.name for kind in catalogue())})
    account = replace(account, quotas={**account.quotas, "ml.m5.large for training job usage": 2})
    found = plan(sizes(100_000), {}, {}, Policy(families=("m5",)), account, ensemble=5)

    step = found["steps"]["fm_training"]
    assert step["needs"]["parallel_jobs"] == 2
    assert [candidate["instance_type"] for candidate in step["candidates"]] == ["ml.m5.large"]
    alone = plan(sizes(100_000), {}, {}, Policy(families=("m5",)), account)
    costs = [p["cost"]["run"]["items"]["fm_training"]["amount"] for p in (alone, found)]
    assert costs[1] == pytest.approx(5 * costs[0], rel=1e-3)


def test_an_ensemble_costs_the_encoding_and_the_storage_of_every_models_rows() -> None:
    one, three = (
        plan(sizes(100_000, rows=50_000_000), {}, {}, {}, ensemble=count)["cost"] for count in (1, 3)
    )

    def seconds(cost: Any) -> float:
        return float(re.search(r"= (\d+) s;", cost["run"]["items"]["glue"]["basis"])[1]) - 90  # type: ignore[index]

    # Nine tenths of the rows are for training.
    assert seconds(three) == pytest.approx((0.9 * 3 + 0.1) * seconds(one), rel=0.01)
    stored = [cost["month"]["items"]["s3_storage"]["amount"] for cost in (one, three)]
    assert stored[1] > 2 * stored[0]


def test_an_ensemble_makes_one_index_of_all_factors() -> None:
    steps = plan(sizes(100_000), {"num_factors": "64"}, {}, {}, ensemble=3)["steps"]

    assert steps["knn_training"]["needs"]["inputs"]["dimension"] == 3 * 64 + 1
    assert steps["fm_training"]["needs"]["inputs"]["num_factors"] == 64


def test_co_occurrence_adds_as_many_factors_as_one_model_has_and_fewer_to_large_catalogues() -> None:
    def dimension(items: int, weight: float) -> int:
        serving = {"co_occurrence": weight}
        steps = plan(sizes(5 * items), {"num_factors": "64"}, serving, {}, ensemble=3)["steps"]
        return int(steps["knn_training"]["needs"]["inputs"]["dimension"])

    assert dimension(100_000, 0.3) == 4 * 64 + 1
    assert dimension(100_000, 0) == 3 * 64 + 1
    assert dimension(1_000_000, 0.3) == 3 * 64 + 33 + 1
    assert dimension(5_000_000, 0.3) == 3 * 64 + 1
