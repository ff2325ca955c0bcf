"""Endpoints without instances: memory by the model, quotas where they are known, and paid by the call."""

from __future__ import annotations

from typing import Any

import pytest

from fmrec.instances import text_tables
from fmrec.instances.catalogue import table_prices
from fmrec.instances.plan import plan
from fmrec.instances.policy import Policy
from fmrec.instances.quota_check import against_account
from fmrec.instances.quotas import Account, Fleet
from fmrec.instances.serverless_choice import CONCURRENCY_QUOTA, MEMORY_QUOTA, NUMBER_QUOTA
from fmrec.instances.workloads import Request, Sizes
from tests.unit.instances.planned_sizes import sizes

SIZES = Sizes.guess(rows=1_000_000, users=80_000, items=20_000)


def planned(
    serverless: Any = None, account: Account | None = None, of: Sizes = SIZES, task: str = "recommend"
) -> dict[str, Any]:
    serving = {
        "endpoint_names": {"knn_endpoint": "shop-knn"},
        "serverless": {} if serverless is None else serverless,
        # A deployment that scales may have a run without instances.
        "scaling": {"minimum_instances": 2, "maximum_instances": 4},
    }
    return plan(of, {}, serving, {}, account, task=task)


def step(*arguments: Any, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = planned(*arguments, **options)["steps"]["knn_endpoint"]
    return found


@pytest.mark.parametrize(
    ("serverless", "feature_dim", "memory_mb", "concurrency"),
    [
        ({}, 100_000, 2048, 5),
        ({"memory_mb": 1024, "maximum_concurrency": 20}, 100_000, 1024, 20),
        ({"memory_mb": None, "maximum_concurrency": None}, 100_000, 2048, 5),
        ({}, 20_000_000, 3072, 5),
    ],
)
def test_the_only_candidate_has_the_memory_that_is_set_and_more_where_the_model_needs_it(
    serverless: Any, feature_dim: int, memory_mb: int, concurrency: int
) -> None:
    found = step(serverless, of=sizes(feature_dim))
    (candidate,) = found["candidates"]
    assert candidate == {
        "instance_type": "serverless",
        "instance_count": 0,
        "volume_size_gb": None,
        "usd_per_hour": 0.0,
        "why": candidate["why"],
        "memory_mb": memory_mb,
        "maximum_concurrency": concurrency,
    }
    assert candidate["why"].startswith(f"by the settings; {memory_mb:,} MB, of which the model needs")
    assert found["needs"]["quotas"] == [MEMORY_QUOTA, NUMBER_QUOTA, CONCURRENCY_QUOTA]
    assert (found["needed"], found["rejected"], found["no_candidate"]) == (True, [], None)


def test_a_model_that_no_serverless_endpoint_holds_is_told_so() -> None:
    found = step(of=sizes(100_000_000))
    assert found["candidates"] == []
    assert found["no_candidate"].startswith("knn_endpoint: a serverless endpoint has at most 6,144 MB")
    assert found["no_candidate"].endswith("leave out serving.serverless")
    assert found["quota_increase"] is None


@pytest.mark.parametrize(
    ("quota", "limit", "serverless", "wanted"),
    [
        (MEMORY_QUOTA, 3072, {"memory_mb": 4096}, 4096),
        (NUMBER_QUOTA, 0, {}, 1),
        (CONCURRENCY_QUOTA, 10, {"maximum_concurrency": 12}, 12),
    ],
)
def test_a_quota_that_is_too_small_refuses_and_is_the_one_to_ask_for(
    quota: str, limit: int, serverless: Any, wanted: int
) -> None:
    found = step(serverless, Account({quota: limit}))
    assert found["candidates"] == []
    assert found["no_candidate"] == f"knn_endpoint: quota '{quota}' is {limit}, {wanted:,} wanted"
    assert found["quota_increase"]["quota_name"] == quota
    assert found["quota_increase"]["desired_value"] == wanted
    assert step(serverless, Account({quota: wanted}))["candidates"]


def test_quotas_of_instances_say_nothing_of_it_and_what_runs_is_said_to_be_deleted() -> None:
    none = {"ml.m5.large for endpoint usage": 0, "Number of instances across active endpoints": 0}
    account = Account(none, fleets={"shop-knn": Fleet("ml.m5.large", 2)})
    found = step(account=account)
    assert len(found["candidates"]) == 1
    (note,) = found["needs"]["notes"]
    assert note.startswith(
        "the endpoint is on 2 x ml.m5.large, and SageMaker can't make it serverless: it is deleted"
    )


def test_it_costs_nothing_a_month_and_says_what_calls_cost() -> None:
    (item,) = (
        each
        for name, each in planned({"memory_mb": 4096})["cost"]["month"]["items"].items()
        if name == "knn_endpoint"
    )
    assert item["amount"] == 0.0
    assert item["basis"] == (
        "nothing while nobody calls; paid by the call: 0.00008 USD for each second and 0.016 USD per GB of data"
    )


def test_the_terminal_shows_it_and_fmrec_quotas_asks_for_its_quotas() -> None:
    request = Request(SIZES, {"num_factors": 64}, {"serverless": {}}, Policy())
    document = plan(SIZES, {"num_factors": 64}, {"serverless": {}}, {})
    text = text_tables.plan_text(document, request)
    assert "knn_endpoint: 2.1 GiB, serverless" in text
    assert "try   serverless  by the settings; 2,048 MB" in text
    rows = against_account(request, Account({CONCURRENCY_QUOTA: 3}), table_prices(), ["knn_endpoint"])
    assert [(row.quota, row.wanted, row.enough) for row in rows] == [
        (MEMORY_QUOTA, 2048, None),
        (NUMBER_QUOTA, 1, None),
        (CONCURRENCY_QUOTA, 5, False),
    ]
