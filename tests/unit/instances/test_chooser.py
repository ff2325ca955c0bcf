"""The rules of choosing, each on its own and as properties over random accounts and data."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.errors import SettingsError
from fmrec.instances import quotas as names
from fmrec.instances.catalogue import Call, Prices, catalogue, table_prices
from fmrec.instances.chooser import Choice, choose
from fmrec.instances.policy import STEPS, Policy
from fmrec.instances.quotas import Fleet
from fmrec.instances.step_workloads import workload
from fmrec.instances.workloads import Request, Sizes, Workload

TYPES = {t.name: t for t in catalogue()}
ACROSS_ENDPOINTS = "Number of instances across active endpoints"
NOTHING: dict[str, float] = {}


def sizes(feature_dim: int = 100_000, **more: Any) -> Sizes:
    items = max(1, feature_dim // 5)
    return Sizes.guess(rows=1_000_000, users=feature_dim - items, items=items, **more)


def built(
    step: str = "fm_training",
    feature_dim: int = 100_000,
    hyperparameters: Mapping[str, Any] | None = None,
    fleet: Fleet | None = None,
    **policy: Any,
) -> tuple[Workload, Policy]:
    made = Policy.from_mapping(policy)
    fleets = {step: fleet} if fleet else {}
    return workload(step, Request(sizes(feature_dim), hyperparameters or {}, {}, made, {}, fleets)), made


def chosen(
    step: str = "fm_training",
    quotas: Mapping[str, float] = NOTHING,
    usage: Mapping[str, float] = NOTHING,
    prices: Prices | None = None,
    **request: Any,
) -> Choice:
    work, policy = built(step, **request)
    return choose(work, catalogue(), quotas, usage, prices or table_prices(), policy)


def order(choice: Choice) -> list[str]:
    return [candidate.instance_type for candidate in choice.candidates]


def why_not(choice: Choice, instance_type: str) -> str:
    (rejected,) = [r for r in choice.rejected if r.instance_type == instance_type]
    return rejected.why


def test_the_preferred_family_leads_while_it_is_not_much_dearer() -> None:
    assert order(chosen())[:4] == ["ml.m5.large", "ml.m5.xlarge", "ml.c7i.large", "ml.m6i.large"]


def test_every_m5_at_zero_moves_to_the_cheapest_of_the_others() -> None:
    quotas = {f"{name} for training job usage": 0.0 for name in TYPES if ".m5." in name}
    assert order(chosen(quotas=quotas))[0] == "ml.c7i.large"


def test_too_little_memory_is_said_in_gib() -> None:
    choice = chosen(feature_dim=10_000_000)
    assert why_not(choice, "ml.m5.large") == "ml.m5.large: needs 17.5 GiB, has 8"
    assert why_not(choice, "ml.m5.xlarge") == "ml.m5.xlarge: needs 17.5 GiB, has 16"
    assert order(choice)[:2] == ["ml.m5.2xlarge", "ml.r5.xlarge"]


def test_a_larger_type_has_more_workers_and_may_fit_no_better() -> None:
    choice = chosen("fm_endpoint", feature_dim=10_000_000)
    assert why_not(choice, "ml.m5.large") == "ml.m5.large: needs 9.3 GiB, has 8 with 2 workers"
    assert why_not(choice, "ml.m5.xlarge") == "ml.m5.xlarge: needs 16.6 GiB, has 16 with 4 workers"
    assert order(choice)[0] == "ml.r5.large"


def test_a_type_is_refused_by_the_call_that_does_not_know_it() -> None:
    assert "TransformInstanceType" in why_not(chosen("batch_transform"), "ml.r5.large")
    assert "ml.r5.large" in order(chosen("knn_endpoint"))
    assert "ml.r6i.large" in order(chosen("batch_transform"))


@pytest.mark.parametrize(
    ("quotas", "usage", "why", "waiting"),
    [
        (
            {"ml.m5.large for endpoint usage": 0},
            {},
            "ml.m5.large: quota 'ml.m5.large for endpoint usage' is 0",
            False,
        ),
        (
            {"ml.m5.large for endpoint usage": 2},
            {"ml.m5.large for endpoint usage": 2},
            "ml.m5.large: quota 'ml.m5.large for endpoint usage' is 2, 2 in use, 1 wanted",
            True,
        ),
        (
            {"ml.m5.large for endpoint usage": 9, ACROSS_ENDPOINTS: 4},
            {ACROSS_ENDPOINTS: 4},
            f"ml.m5.large: quota '{ACROSS_ENDPOINTS}' is 4, 4 in use, 1 wanted",
            True,
        ),
    ],
)
def test_the_types_quota_and_the_account_wide_one_both_count(
    quotas: dict[str, float], usage: dict[str, float], why: str, waiting: bool
) -> None:
    choice = chosen("knn_endpoint", quotas, usage)
    (rejected,) = [r for r in choice.rejected if r.instance_type == "ml.m5.large"]
    assert rejected.why == why
    assert rejected.waiting_can_help is waiting


def test_an_unknown_quota_stays_in_its_place_and_is_called_unknown() -> None:
    known = chosen("knn_endpoint", {"ml.m5.xlarge for endpoint usage": 1})
    assert order(known) == order(chosen("knn_endpoint"))
    assert "quota unknown" in known.candidates[0].why
    assert "quota 1, use unknown" in known.candidates[1].why


def test_an_unknown_price_comes_last_and_is_neither_zero_nor_within_a_limit() -> None:
    prices = Prices({("training", "ml.m5.xlarge"): 0.23}, "USD", "one price")
    choice = chosen(prices=prices)
    assert order(choice)[0] == "ml.m5.xlarge"
    assert choice.candidates[1].usd_per_hour is None
    assert choice.candidates[1].why.endswith("price unknown")
    limited = chosen(prices=prices, maximum_usd_per_hour=1.0)
    assert order(limited) == ["ml.m5.xlarge"]
    assert "price is unknown" in why_not(limited, "ml.m5.large")


def test_a_known_price_comes_before_an_unknown_one_of_the_same_rank() -> None:
    known: dict[tuple[Call, str], float] = {
        ("training", "ml.c7i.large"): 5.0,
        ("training", "ml.m5.4xlarge"): 40.0,
    }
    assert order(chosen(prices=Prices(known, "USD", "two prices")))[:2] == ["ml.c7i.large", "ml.m5.4xlarge"]


def test_without_any_price_the_preferred_and_smallest_lead() -> None:
    prices = Prices({}, "USD", "none")
    assert order(chosen(prices=prices))[0] == "ml.m5.large"


def test_a_limit_holds_for_all_instances_of_the_step_together() -> None:
    choice = chosen(maximum_usd_per_hour=0.25, instance_counts={"fm_training": 2})
    assert all(c.usd_per_hour is not None and c.usd_per_hour <= 0.25 for c in choice.candidates)
    assert order(choice)[0] == "ml.m5.large"
    assert why_not(choice, "ml.m5.xlarge") == (
        "ml.m5.xlarge: costs 0.46 USD an hour, the policy's limit is 0.25"
    )


def test_a_small_model_never_lands_on_a_huge_instance() -> None:
    choice = chosen(quotas={f"{n} for training job usage": 0 for n in TYPES if n != "ml.m5.24xlarge"})
    assert order(choice) == []
    assert "stops at 10 times" in why_not(choice, "ml.m5.24xlarge")
    assert order(
        chosen(
            quotas={f"{n} for training job usage": 0 for n in TYPES if n != "ml.m5.24xlarge"},
            maximum_price_factor=100,
        )
    ) == ["ml.m5.24xlarge"]


def test_fixed_types_are_tried_in_the_order_given_and_still_checked() -> None:
    fixed: dict[str, Any] = {
        "instance_types": {"fm_training": ["ml.m4.xlarge", "ml.m5.large", "ml.g5.xlarge", "ml.m5.large"]}
    }
    choice = chosen(quotas={"ml.m4.xlarge for training job usage": 0}, **fixed)
    assert order(choice) == ["ml.m5.large"]
    assert choice.candidates[0].why.startswith("fixed by settings; ")
    assert "is 0" in why_not(choice, "ml.m4.xlarge")
    assert "memory is unknown" in why_not(choice, "ml.g5.xlarge")
    large = chosen(feature_dim=10_000_000, instance_types={"fm_training": "ml.m5.large"})
    assert order(large) == []


def test_spot_training_looks_at_the_spot_quotas() -> None:
    quotas = {"ml.m5.large for training job usage": 0, "ml.m5.large for spot training job usage": 5}
    choice = chosen(quotas=quotas, spot_training=True)
    assert order(choice)[0] == "ml.m5.large"
    assert "less on spot" in choice.candidates[0].why
    assert "ml.m5.large" not in order(chosen(quotas=quotas))


def test_several_instances_need_several_of_every_quota() -> None:
    counts: dict[str, Any] = {"instance_counts": {"fm_training": 4}}
    quotas = {"ml.m5.large for training job usage": 3, "Number of instances across all training jobs": 30}
    assert "3, 0 in use, 4 wanted" in why_not(chosen(quotas=quotas, **counts), "ml.m5.large")
    per_job = {"Maximum number of instances per training job": 2}
    choice = chosen(quotas=per_job, **counts)
    assert order(choice) == []
    assert "'Maximum number of instances per training job' is 2, 4 wanted" in choice.rejected[0].why


def test_an_endpoint_update_needs_room_for_the_old_fleet_and_the_new() -> None:
    fleet = Fleet("ml.m5.large", 1)
    one = {"ml.m5.large for endpoint usage": 1}
    assert order(chosen("knn_endpoint", one))[0] == "ml.m5.large"
    assert order(chosen("knn_endpoint", one, fleet=fleet))[0] == "ml.m5.xlarge"
    assert (
        order(chosen("knn_endpoint", {"ml.m5.large for endpoint usage": 2}, fleet=fleet))[0] == "ml.m5.large"
    )
    assert order(chosen("knn_endpoint", {ACROSS_ENDPOINTS: 1}, fleet=fleet)) == []


def test_waiting_helps_only_where_the_limit_is_large_enough_for_good() -> None:
    own = "ml.m5.large for endpoint usage"

    def waiting(quotas: dict[str, float], **request: Any) -> tuple[str | None, bool]:
        choice = chosen("knn_endpoint", quotas, {own: 1, ACROSS_ENDPOINTS: 1}, **request)
        (rejected,) = [r for r in choice.rejected if r.instance_type == "ml.m5.large"]
        return rejected.quota, rejected.waiting_can_help

    assert waiting({own: 1}) == (own, True)
    assert waiting({own: 1, ACROSS_ENDPOINTS: 0}) == (ACROSS_ENDPOINTS, False)
    fleet = Fleet("ml.m5.large", 1)
    assert waiting({own: 1}, fleet=fleet) == (own, False)
    assert waiting({own: 2, ACROSS_ENDPOINTS: 1}, fleet=fleet) == (ACROSS_ENDPOINTS, False)


def test_sharding_needs_a_part_for_every_instance() -> None:
    policy = Policy(instance_counts={"fm_training": 4}, data_distribution="ShardedByS3Key")
    few = Sizes(10**6, 80_000, 20_000, 100_000, 2.0, 10**8, 10**5, 10**7, train_parts=3)
    work = workload("fm_training", Request(few, {}, {}, policy))
    choice = choose(work, catalogue(), {}, {}, table_prices(), policy)
    assert order(choice) == []
    assert "4 instances but 3 train parts" in choice.rejected[0].why


def test_what_can_not_be_wanted_is_a_sentence() -> None:
    cases: tuple[tuple[Any, str], ...] = (
        ({"familes": ["m5"]}, "policy.familes is not a known setting here: did you mean families"),
        ({"families": []}, "families is empty"),
        ({"input_mode": "Stream"}, "expected one of File, FastFile, Pipe"),
        ({"instance_counts": {"training": 2}}, "names the step 'training'"),
        ({"instance_counts": {"fm_training": 0}}, "expected 1 to 100"),
        ({"maximum_usd_per_hour": 0}, "expected more than 0"),
        ({"memory_safety_factor": 0.5}, "at least 1"),
        ({"families": 5}, "policy.families is 5: expected a list of texts"),
        ({"families": [5]}, "expected a list of texts"),
        ({"families": "m5"}, "policy.families is 'm5': expected a list of texts"),
        ({"instance_types": {"fm_training": {"a": 1}}}, "policy.instance_types.fm_training"),
        ({"instance_types": ["ml.m5.large"]}, "an object of steps and instance types"),
        ({"instance_counts": [["fm_training", 2]]}, "an object of steps and counts"),
        ({"spot_training": "yes"}, "expected true or false"),
        ({"maximum_usd_per_hour": "3"}, "expected a number"),
        ({"memory_safety_factor": float("inf")}, "expected a number"),
        ({"input_mode": ["File"]}, "expected a text"),
        (["families"], "expected a JSON object"),
    )
    for document, words in cases:
        with pytest.raises(SettingsError, match=words):
            Policy.from_mapping(document)


# Properties ---------------------------------------------------------------------------------------

requests = st.builds(
    lambda step, feature_dim, factors, count, spot, mode: built(
        step,
        feature_dim,
        {"num_factors": factors},
        instance_counts={step: count},
        spot_training=spot,
        input_mode=mode,
    ),
    st.sampled_from(STEPS),
    st.integers(10, 30_000_000),
    st.integers(2, 300),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from(["File", "FastFile", "Pipe"]),
)
KINDS: tuple[tuple[Call, bool], ...] = (
    ("training", False),
    ("training", True),
    ("transform", False),
    ("hosting", False),
)
ALL_QUOTAS = [
    names.type_quota(call, name, spot)
    for name in TYPES
    if TYPES[name].family in Policy().families
    for call, spot in KINDS
] + [names.account_quota(call, spot) for call, spot in KINDS]


@st.composite
def accounts(draw: st.DrawFn) -> dict[str, float]:
    generator = draw(st.randoms(use_true_random=True))
    unknown, zero = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    return {
        name: 0.0 if generator.random() < zero else float(generator.randint(0, 8))
        for name in ALL_QUOTAS
        if generator.random() >= unknown
    }


@pytest.mark.slow
@given(requests, accounts(), accounts())
def test_a_candidate_is_within_quota_memory_and_the_calls_enum(
    request_: tuple[Workload, Policy], quotas: dict[str, float], usage: dict[str, float]
) -> None:
    work, policy = request_
    for candidate in choose(work, catalogue(), quotas, usage, table_prices(), policy).candidates:
        instance = TYPES[candidate.instance_type]
        assert work.call in instance.accepted_by
        assert work.memory.gib_with(instance.vcpu) <= instance.memory_gib
        for quota in (
            names.type_quota(work.call, instance.name, work.spot),
            names.account_quota(work.call, work.spot),
        ):
            if quota in quotas:
                assert usage.get(quota, 0) + candidate.instance_count <= quotas[quota]


@given(requests, accounts(), st.randoms(use_true_random=True))
def test_more_quota_never_makes_the_answer_worse(
    request_: tuple[Workload, Policy], quotas: dict[str, float], generator: random.Random
) -> None:
    work, policy = request_
    more = {name: value + generator.choice((0, 0, 1, 8)) for name, value in quotas.items()}
    before = order(choose(work, catalogue(), quotas, {}, table_prices(), policy))
    after = order(choose(work, catalogue(), more, {}, table_prices(), policy))
    assert set(before) <= set(after)
    assert before == [name for name in after if name in set(before)]


@given(requests, accounts(), st.randoms(use_true_random=True))
def test_the_order_of_the_catalogue_does_not_matter(
    request_: tuple[Workload, Policy], quotas: dict[str, float], generator: random.Random
) -> None:
    work, policy = request_
    shuffled = list(catalogue())
    generator.shuffle(shuffled)
    assert choose(work, shuffled, quotas, {}, table_prices(), policy) == choose(
        work, catalogue(), quotas, {}, table_prices(), policy
    )


@given(requests, accounts())
def test_every_type_is_a_candidate_or_rejected_with_a_reason(
    request_: tuple[Workload, Policy], quotas: dict[str, float]
) -> None:
    work, policy = request_
    choice = choose(work, catalogue(), quotas, {}, table_prices(), policy)
    told = [c.instance_type for c in choice.candidates] + [r.instance_type for r in choice.rejected]
    assert sorted(told) == sorted(TYPES)
    assert all(r.why.startswith(f"{r.instance_type}: ") for r in choice.rejected)
