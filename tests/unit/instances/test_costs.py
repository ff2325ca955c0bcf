"""The bill: every amount follows from hours and rates that it names."""

from __future__ import annotations

from typing import Any

import pytest

from fmrec.instances.catalogue import Prices, table_prices
from fmrec.instances.plan import plan
from fmrec.instances.quotas import Account
from fmrec.instances.workloads import Glue, Sizes

MOVIELENS_25M = Sizes.guess(rows=25_000_095, users=162_541, items=62_423)


def cost(
    sizes: Sizes = MOVIELENS_25M,
    hyperparameters: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    account: Account | None = None,
    prices: Prices | None = None,
    task: str = "recommend",
) -> dict[str, Any]:
    given = hyperparameters or {"epochs": 20}
    document = plan(sizes, given, {}, policy or {}, account, prices, task=task)
    found: dict[str, Any] = document["cost"]
    return found


def test_a_month_of_an_endpoint_is_its_rate_for_730_hours() -> None:
    item = cost()["month"]["items"]["knn_endpoint"]
    assert item["amount"] == pytest.approx(0.115 * 730)
    assert item["basis"] == "730 hours; 1 x ml.m5.large at 0.115 USD an hour in all"


def test_training_costs_its_hours_and_its_volume() -> None:
    item = cost()["run"]["items"]["fm_training"]
    seconds = 22_500_086 * 20 / 100_000 + (MOVIELENS_25M.train_bytes + MOVIELENS_25M.test_bytes) / 90e6 + 120
    assert item["hours"] == pytest.approx(seconds / 3600, abs=1e-4)
    volume = 10 * seconds / 3600 / 730 * 0.14
    assert item["amount"] == pytest.approx(0.115 * seconds / 3600 + volume, abs=1e-5)
    assert "22,500,086 rows * 20 epochs / 100,000 records a second = 4500 s" in item["basis"]


def test_the_totals_are_the_sums_of_their_items() -> None:
    bill = cost()
    for part in ("run", "month"):
        amounts = [item["amount"] for item in bill[part]["items"].values()]
        assert bill[part]["total"] == pytest.approx(sum(amounts), abs=1e-3)
        assert bill[part]["complete"]
        assert all(item["basis"] for item in bill[part]["items"].values())


def test_scoring_pairs_costs_neither_an_index_nor_a_table() -> None:
    bill = cost(task="predict-rating")
    assert set(bill["run"]["items"]) == {
        *("glue", "fm_training", "fm_transform", "lambda", "s3_requests", "step_functions")
    }
    assert set(bill["month"]["items"]) == {"fm_endpoint", "s3_storage"}
    transform = bill["run"]["items"]["fm_transform"]
    # 100,000 records a second, 50 bytes of answer each at 20 MB a second, two minutes to start and end.
    seconds = 2_500_009 / 100_000 + 2_500_009 * 50 / 20e6 + 120
    assert transform["hours"] == pytest.approx(seconds / 3600, abs=1e-4)
    assert transform["amount"] == pytest.approx(0.115 * seconds / 3600, abs=1e-5)
    assert "2,500,009 held-out rows" in transform["basis"]
    half = cost(task="predict-rating", policy={"instance_counts": {"fm_transform": 2}})
    assert half["run"]["items"]["fm_transform"]["hours"] < transform["hours"]


def test_hours_grow_with_epochs_and_factors_and_shrink_with_shards() -> None:
    def hours(**more: Any) -> float:
        found: float = cost(**more)["run"]["items"]["fm_training"]["hours"]
        return found

    assert hours(hyperparameters={"epochs": 40}) > hours()
    assert hours(hyperparameters={"epochs": 20, "num_factors": 128}) > hours()
    four = {"instance_counts": {"fm_training": 4}}
    assert hours(policy={**four, "data_distribution": "ShardedByS3Key"}) < hours()
    assert hours(policy=four) == hours()


def test_several_instances_cost_several_times_as_much_an_hour() -> None:
    bill = cost(policy={"instance_counts": {"knn_endpoint": 3}})
    assert bill["month"]["items"]["knn_endpoint"]["amount"] == pytest.approx(3 * 0.115 * 730)


def test_what_is_unknown_is_not_counted_as_free() -> None:
    nothing = Account({"Number of instances across active endpoints": 0})
    month = cost(account=nothing)["month"]
    assert month["items"]["knn_endpoint"]["amount"] is None
    assert month["complete"] is False
    unpriced = cost(prices=Prices({}, "USD", "none"))["run"]
    assert unpriced["items"]["fm_training"]["amount"] is None
    assert unpriced["complete"] is False
    assert unpriced["total"] > 0


def test_another_currency_does_not_mix_with_rates_known_in_dollars() -> None:
    yuan = Prices({key: 7 * price for key, price in table_prices().per_hour.items()}, "CNY", "list")
    bill = cost(prices=yuan)
    assert bill["currency"] == "CNY"
    assert bill["run"]["items"]["glue"]["amount"] is None
    assert bill["run"]["items"]["knn_training"]["amount"] == pytest.approx(
        7 * 0.115 * bill["run"]["items"]["knn_training"]["hours"], rel=1e-2
    )
    assert bill["run"]["complete"] is False


def test_a_glue_run_is_billed_for_its_workers_and_at_least_a_minute() -> None:
    item = cost(Sizes.guess(rows=10, users=2, items=2))["run"]["items"]["glue"]
    assert item["amount"] == pytest.approx(3 * 90 / 3600 * 0.308, abs=1e-5)


def test_an_encoding_is_reckoned_for_the_workers_that_it_may_have() -> None:
    sizes = Sizes.guess(rows=90_000_000, users=2, items=2)
    bill = plan(sizes, {"epochs": 1}, {}, {}, glue=Glue("G.2X", 10))["cost"]["run"]["items"]["glue"]
    seconds = 90 + 90_000_000 / (200_000 * 9)
    assert bill["hours"] == pytest.approx(seconds / 3600, abs=1e-4)
    assert bill["amount"] == pytest.approx(20 * seconds / 3600 * 0.308, abs=1e-5)
    assert "10 x G.2X (2 DPU) at 0.308 USD" in bill["basis"]
    more_memory = plan(sizes, {"epochs": 1}, {}, {}, glue=Glue("R.1X", 3))["cost"]["run"]["items"]["glue"]
    assert "3 x R.1X (1 DPU) at 0.364 USD" in more_memory["basis"]
