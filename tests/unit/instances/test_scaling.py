"""Endpoints that scale: the account's quotas and the policy's price count against the maximum."""

from __future__ import annotations

from typing import Any

import pytest

from fmrec.errors import SettingsError
from fmrec.instances.plan import plan
from fmrec.instances.quotas import Account, Fleet
from fmrec.instances.scaling import Scaling
from fmrec.instances.workloads import Sizes

SIZES = Sizes.guess(rows=1_000_000, users=80_000, items=20_000)
OWN, ACROSS, EACH = (
    "ml.m5.large for endpoint usage",
    "Number of instances across active endpoints",
    "Maximum number of instances per endpoint",
)
POLICY = {"instance_types": {"knn_endpoint": ["ml.m5.large"]}}


def step(
    account: Account | None = None, minimum: int = 1, maximum: int = 8, policy: Any = POLICY
) -> dict[str, Any]:
    serving = {
        "endpoint_names": {"knn_endpoint": "shop-knn"},
        "scaling": {"minimum_instances": minimum, "maximum_instances": maximum},
    }
    found: dict[str, Any] = plan(SIZES, {}, serving, policy, account)["steps"]["knn_endpoint"]
    return found


@pytest.mark.parametrize(
    ("quotas", "usage", "most", "words"),
    [
        ({}, {}, 8, "scales to 8 instances"),
        ({OWN: 8, ACROSS: 8, EACH: 8}, {}, 8, "scales to 8 instances"),
        ({OWN: 5}, {}, 5, f"scales to 5 instances instead of 8: quota '{OWN}' is 5"),
        (
            {OWN: 10, ACROSS: 10},
            {OWN: 1, ACROSS: 4},
            6,
            f"scales to 6 instances instead of 8: quota '{ACROSS}' is 10, 4 of it in use by others",
        ),
        ({EACH: 2}, {}, 2, f"scales to 2 instances instead of 8: quota '{EACH}' is 2"),
    ],
)
def test_quotas_lower_the_maximum_and_say_so(quotas: Any, usage: Any, most: int, words: str) -> None:
    (candidate,) = step(Account(quotas, usage))["candidates"]
    assert (candidate["instance_count"], candidate["maximum_instances"]) == (1, most)
    assert words in candidate["why"]


def test_a_minimum_without_room_is_refused_with_the_quota() -> None:
    found = step(Account({OWN: 3}), minimum=4)
    assert found["candidates"] == []
    assert f"quota '{OWN}' is 3, 0 in use, 4 wanted" in found["no_candidate"]


def test_the_policys_price_bounds_the_maximum() -> None:
    policy = {"maximum_usd_per_hour": 0.3, "families": ["m5"]}
    candidates = {each["instance_type"]: each for each in step(policy=policy)["candidates"]}
    assert candidates["ml.m5.large"]["maximum_instances"] == 2
    assert "the policy's limit is 0.3" in candidates["ml.m5.large"]["why"]
    assert candidates["ml.m5.xlarge"]["maximum_instances"] == 1


@pytest.mark.parametrize(("running", "starts"), [(1, 2), (3, 3), (9, 6)])
def test_an_update_starts_as_many_instances_as_run_now_within_the_limits(running: int, starts: int) -> None:
    account = Account(fleets={"shop-knn": Fleet("ml.m5.large", running)})
    (candidate,) = step(account, minimum=2, maximum=6)["candidates"]
    assert candidate["instance_count"] == starts
    assert candidate["fewer_than_before"] is False


def test_what_runs_now_makes_room_for_scaling_but_not_for_the_update() -> None:
    account = Account({OWN: 8}, {OWN: 4}, {"shop-knn": Fleet("ml.m5.large", 4)})
    (candidate,) = step(account)["candidates"]
    assert (candidate["instance_count"], candidate["maximum_instances"]) == (4, 8)


def test_an_update_starts_with_fewer_where_the_old_instances_leave_no_room() -> None:
    account = Account({OWN: 5}, {OWN: 4}, {"shop-knn": Fleet("ml.m5.large", 4)})
    endpoint = step(account)
    (candidate,) = endpoint["candidates"]
    assert endpoint["needs"]["instance_count"] == endpoint["needs"]["inputs"]["instance_count"] == 1
    assert (candidate["instance_count"], candidate["maximum_instances"]) == (1, 5)
    assert candidate["fewer_than_before"] is True
    assert "starts with 1, as the 4 that run leave no room for more" in candidate["why"]


def test_without_scaling_a_candidate_says_nothing_of_it() -> None:
    (candidate,) = plan(SIZES, {}, {}, POLICY)["steps"]["knn_endpoint"]["candidates"]
    assert not {"maximum_instances", "fewer_than_before"} & set(candidate)


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 2), (3, 2), (1, 1001)])
def test_limits_are_in_order(minimum: int, maximum: int) -> None:
    with pytest.raises(SettingsError, match=f"serving.scaling has {minimum} to {maximum} instances"):
        Scaling.of({"scaling": {"minimum_instances": minimum, "maximum_instances": maximum}})
