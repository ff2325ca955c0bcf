"""The plan's form, and that the estimates lead to the types they should."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.errors import SettingsError
from fmrec.instances.catalogue import catalogue
from fmrec.instances.plan import plan
from fmrec.instances.policy import Policy
from fmrec.instances.quotas import Account, Fleet
from fmrec.instances.workloads import Sizes
from tests.unit.instances.planned_sizes import sizes

STEPS = ["fm_training", "knn_training", "batch_transform", "knn_endpoint", "fm_transform", "fm_endpoint"]


@pytest.mark.parametrize(
    ("feature_dim", "num_factors", "fm_training", "knn_training", "knn_endpoint"),
    [
        (2_625, 64, "ml.m5.large", "ml.m5.large", "ml.m5.large"),
        (100_000, 64, "ml.m5.large", "ml.m5.large", "ml.m5.large"),
        (225_000, 64, "ml.m5.large", "ml.m5.large", "ml.m5.large"),
        (1_000_000, 64, "ml.m5.large", "ml.m5.large", "ml.m5.large"),
        (1_000_000, 256, "ml.m5.xlarge", "ml.m5.large", "ml.m5.large"),
        (5_000_000, 64, "ml.m5.xlarge", "ml.m5.large", "ml.m5.large"),
        (10_000_000, 64, "ml.m5.2xlarge", "ml.m5.large", "ml.m5.large"),
        (10_000_000, 256, "ml.m5.4xlarge", "ml.m5.large", "ml.m5.large"),
    ],
)
def test_sizes_lead_to_types(
    feature_dim: int, num_factors: int, fm_training: str, knn_training: str, knn_endpoint: str
) -> None:
    steps = plan(sizes(feature_dim), {"num_factors": str(num_factors)}, {}, {})["steps"]
    chosen = {step: steps[step]["candidates"][0]["instance_type"] for step in STEPS[:4]}
    assert chosen["fm_training"] == fm_training
    assert chosen["knn_training"] == knn_training
    assert chosen["knn_endpoint"] == knn_endpoint


def test_the_plan_is_json_with_its_steps_in_order() -> None:
    document = json.loads(json.dumps(plan(sizes(100_000), {}, {}, {}), allow_nan=False))
    assert list(document["steps"]) == STEPS
    for step in document["steps"].values():
        assert set(step["candidates"][0]) == {
            "instance_type",
            "instance_count",
            "volume_size_gb",
            "usd_per_hour",
            "why",
        }


def test_a_quota_of_zero_moves_the_endpoint_to_another_type_and_says_so() -> None:
    account = Account({"ml.m5.large for endpoint usage": 0})
    step = plan(sizes(100_000), {}, {}, {}, account)["steps"]["knn_endpoint"]
    assert step["candidates"][0]["instance_type"] == "ml.m5.xlarge"
    whys = [rejected["why"] for rejected in step["rejected"]]
    assert "ml.m5.large: quota 'ml.m5.large for endpoint usage' is 0" in whys


def test_more_factors_and_features_need_what_the_formula_says() -> None:
    needs = plan(sizes(10_000_000), {"num_factors": 64}, {}, {})["steps"]["fm_training"]["needs"]
    parameters = 10_000_000 * 65 + 1
    by_hand = (16 * parameters + 1000 * 2 * 12 * 4 + 2 * 2**30) * 1.5 / 2**30
    assert needs["memory_gib"] == round(by_hand, 2) == 17.53
    terms = needs["memory"]["terms"]
    assert sum(t["bytes"] for t in terms) * needs["memory"]["safety_factor"] / 2**30 == pytest.approx(by_hand)
    assert needs["inputs"]["feature_dim"] == 10_000_000


@pytest.mark.parametrize("rows", [10**5, 10**9])
def test_ten_million_features_never_land_on_sixteen_gib(rows: int) -> None:
    memory = {t.name: t.memory_gib for t in catalogue()}
    for policy in (
        {},
        {"families": ["c5", "m5"]},
        {"instance_counts": {"fm_training": 4}},
        {"spot_training": True},
    ):
        step = plan(sizes(10_000_000, rows), {"num_factors": 64}, {}, policy)["steps"]["fm_training"]
        assert step["candidates"]
        assert all(memory[c["instance_type"]] > 16 for c in step["candidates"])


@pytest.mark.parametrize("step", STEPS)
def test_a_hundred_thousand_features_pay_for_an_m5_large(step: str) -> None:
    candidates = plan(sizes(100_000), {}, {}, {})["steps"][step]["candidates"]
    assert [c["instance_type"] for c in candidates[:2]] == ["ml.m5.large", "ml.m5.xlarge"]


def test_file_mode_pays_for_the_data_on_the_volume_and_streaming_does_not() -> None:
    large = sizes(100_000, rows=2_000_000_000)

    def volume(**policy: Any) -> int | None:
        size: int | None = plan(large, {}, {}, policy)["steps"]["fm_training"]["needs"]["volume_size_gb"]
        return size

    everything = (large.train_bytes + large.test_bytes) * 1.2 / 1e9
    assert volume() == pytest.approx(everything, abs=2)
    assert volume(input_mode="Pipe") == volume(input_mode="FastFile") == 10
    four = {"instance_counts": {"fm_training": 4}}
    assert volume(**four) == volume()
    sharded = (large.train_bytes / 4 + large.test_bytes) * 1.2 / 1e9
    assert volume(**four, data_distribution="ShardedByS3Key") == pytest.approx(sharded, abs=2)


def test_parts_go_to_hosts_whole() -> None:
    uneven = replace(sizes(100_000, rows=1_000_000_000), train_parts=5)
    policy = {"instance_counts": {"fm_training": 4}, "data_distribution": "ShardedByS3Key"}
    needs = plan(uneven, {}, {}, policy)["steps"]["fm_training"]["needs"]
    assert needs["volume"]["terms"][0]["bytes"] == uneven.train_bytes * 2 // 5


def test_data_that_no_volume_holds_is_told_to_stream() -> None:
    huge = sizes(100_000, rows=20_000_000_000)
    step = plan(huge, {}, {}, {})["steps"]["fm_training"]
    assert step["candidates"] == []
    assert "GB of disk, 1,024 is the most; stream with input mode Pipe" in step["no_candidate"]
    assert plan(huge, {}, {}, {"input_mode": "Pipe"})["steps"]["fm_training"]["candidates"]


@pytest.mark.parametrize(
    ("feature_dim", "num_factors"), [(2_000_000_000, 64), (10_000_000, 100_000), (100_000_000, 2_000)]
)
def test_a_model_that_fits_nowhere_says_how_far_to_lower_num_factors(
    feature_dim: int, num_factors: int
) -> None:
    large = sizes(feature_dim)

    def candidates(factors: int) -> list[Any]:
        found: list[Any] = plan(large, {"num_factors": factors}, {}, {"input_mode": "Pipe"})["steps"][
            "fm_training"
        ]["candidates"]
        return found

    step = plan(large, {"num_factors": num_factors}, {}, {})["steps"]["fm_training"]
    said = re.search(r"lower num_factors from [\d]+ to at most (\d+)", step["no_candidate"])
    assert said is not None
    most = int(said[1])
    assert candidates(most)
    assert not candidates(most + 1)


def test_features_that_not_even_one_factor_fits_are_to_be_fewer() -> None:
    sentence = plan(sizes(10**12), {}, {}, {})["steps"]["fm_training"]["no_candidate"]
    said = re.search(
        r"lower feature_dim from 1,000,000,000,000 to at most ([\d,]+) for num_factors 64", sentence
    )
    assert said is not None
    most = int(said[1].replace(",", ""))
    assert plan(sizes(most), {}, {}, {"input_mode": "Pipe"})["steps"]["fm_training"]["candidates"]


def test_a_model_and_data_that_are_both_too_large_are_told_about_both() -> None:
    huge = sizes(2_000_000_000, rows=100_000_000_000)
    sentence = plan(huge, {}, {}, {})["steps"]["fm_training"]["no_candidate"]
    assert "lower num_factors from 64 to at most" in sentence
    assert "with input mode Pipe too" in sentence
    assert "Pipe" not in plan(huge, {}, {}, {"input_mode": "Pipe"})["steps"]["fm_training"]["no_candidate"]


def test_without_a_free_quota_the_sentence_names_it_and_waiting_only_where_it_helps() -> None:
    across = "Number of instances across all training jobs"
    busy = plan(sizes(100_000), {}, {}, {}, Account({across: 2}, usage={across: 2}))["steps"]["fm_training"]
    assert busy["candidates"] == []
    assert "when what runs now has ended" in busy["no_candidate"]
    assert busy["quota_increase"]["waiting_can_help"] is True
    assert busy["waiting_can_help"] is True
    assert busy["quota_increase"]["desired_value"] == 3
    none = plan(sizes(100_000), {}, {}, {}, Account({across: 0}))["steps"]["fm_training"]
    assert "request an increase" in none["no_candidate"]
    assert none["quota_increase"]["quota_name"] == across
    assert none["quota_increase"]["waiting_can_help"] is False
    assert none["waiting_can_help"] is False
    # The best type will never be free, but another is only in use.
    quotas = {f"{t.name} for training job usage": 0.0 for t in catalogue()}
    quotas["ml.m5.xlarge for training job usage"] = 1.0
    used = {"ml.m5.xlarge for training job usage": 1.0}
    mixed = plan(sizes(100_000), {}, {}, {}, Account(quotas, usage=used))["steps"]["fm_training"]
    assert mixed["candidates"] == []
    assert mixed["waiting_can_help"] is True
    assert "ml.m5.xlarge: quota" in mixed["no_candidate"]


def test_the_increase_asks_for_the_best_type_that_only_a_quota_keeps_out() -> None:
    account = Account({"ml.m5.large for transform job usage": 0}, region="eu-west-1", partition="aws")
    steps = plan(sizes(100_000), {}, {}, {}, account)["steps"]
    increase = steps["batch_transform"]["quota_increase"]
    assert increase["quota_code"] == "L-236AE59F"
    assert "--desired-value 1 --region eu-west-1" in increase["command"]
    assert steps["fm_training"]["quota_increase"] is None


def test_without_an_endpoint_its_steps_are_not_needed_and_cost_nothing() -> None:
    document = plan(sizes(100_000), {}, {"endpoint": False}, {})
    assert [name for name, step in document["steps"].items() if step["needed"]] == STEPS[:3]
    assert "knn_endpoint" not in document["cost"]["month"]["items"]
    assert "knn_endpoint" in plan(sizes(100_000), {}, {}, {})["cost"]["month"]["items"]


def test_each_task_needs_its_own_steps() -> None:
    def needed(task: str, held_out: int = 10_000, **serving: Any) -> list[str]:
        steps = plan(replace(sizes(100_000), test_rows=held_out), {}, serving, {}, task=task)["steps"]
        assert all(steps[step]["candidates"] for step in STEPS)
        return [name for name, step in steps.items() if step["needed"]]

    assert needed("recommend") == STEPS[:4]
    assert needed("predict-rating") == ["fm_training", "fm_transform", "fm_endpoint"]
    assert needed("predict-rating", endpoint=False) == ["fm_training", "fm_transform"]
    # Nothing is scored where nothing is held out.
    assert needed("predict-rating", held_out=0) == ["fm_training", "fm_endpoint"]
    with pytest.raises(SettingsError, match="task is 'rank'"):
        needed("rank")


def test_the_answer_stays_well_under_what_a_state_may_carry() -> None:
    quotas = {f"{t.name} for {kind} usage": 0 for t in catalogue() for kind in ("training job", "endpoint")}
    assert len(json.dumps(plan(sizes(10_000_000), {}, {}, {}, Account(quotas)))) < 100_000


def test_a_manifest_is_planned_by_its_own_numbers() -> None:
    manifest = Manifest(
        run="r",
        created="2026-11-21T00:00:00Z",
        dataset={},
        feature_dim=2625,
        nnz_per_row=2.0,
        users=943,
        items=1682,
        ranges={"user": (0, 943), "item": (943, 2625)},
        rows=Rows(100_000, 100_000, 90_570, 9_430),
        train=Channel("train/", 90_570, 4, 5_796_480, 0.551),
        test=Channel("test/", 9_430, 1, 603_520, 0.58),
    )
    document = plan(manifest, {"num_factors": "64", "epochs": "24"}, {"recommendations_per_user": 10}, {})
    assert document["sizes"]["train_parts"] == 4
    assert document["steps"]["fm_training"]["needs"]["inputs"]["train_bytes"] == 5_796_480
    assert "90,570 rows * 24 epochs" in document["cost"]["run"]["items"]["fm_training"]["basis"]


def test_sizes_guessed_before_encoding_agree_with_what_encoding_wrote() -> None:
    guessed = Sizes.guess(rows=100_000, users=943, items=1682)
    assert guessed.train_bytes / guessed.rows == 64
    assert (guessed.rows, guessed.test_rows, guessed.feature_dim) == (90_000, 10_000, 2625)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rows": 0, "users": 1, "items": 1}, "rows is 0"),
        ({"rows": 1, "users": 10, "items": 10, "feature_dim": 19}, "alone take 20 columns"),
        ({"rows": 1, "users": 1, "items": 1, "nnz_per_row": 0.5}, "nonzeros is"),
    ],
)
def test_sizes_that_can_not_be_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Sizes.guess(**arguments)


@pytest.mark.parametrize("value", ["many", "0", "1.5", "nan", -3])
def test_hyperparameters_that_are_no_counts_are_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="num_factors is"):
        plan(sizes(1000), {"num_factors": value}, {}, {})


def test_the_model_that_a_serverless_endpoint_must_hold_decides_its_memory() -> None:
    def memory_mb(feature_dim: int) -> int | None:
        found: int | None = plan(sizes(feature_dim), {}, {}, {})["steps"]["knn_endpoint"]["needs"][
            "serverless_memory_mb"
        ]
        return found

    assert memory_mb(100_000) == 1024
    assert memory_mb(20_000_000) == 3072
    assert memory_mb(100_000_000) is None


def test_an_evaluation_holds_vectors_and_interactions_and_never_users_times_items() -> None:
    movielens_25m = Sizes.guess(rows=25_000_095, users=162_541, items=62_423)
    document = plan(movielens_25m, {}, {}, {}, evaluation=True)
    step = document["steps"]["evaluation"]
    by_hand = ((162_541 + 62_423) * 65 * 4 + 25_000_095 * 12 + 512 * 2**20 + 2**30) * 1.5 / 2**30
    assert step["needs"]["memory_gib"] == pytest.approx(by_hand, abs=0.01)
    assert step["needs"]["call"] == "processing"
    assert step["needs"]["quotas"][1] == "Number of instances across all processing jobs"
    assert step["candidates"][0]["instance_type"] == "ml.m5.large"
    assert document["cost"]["run"]["items"]["evaluation"]["amount"] > 0


def test_the_documented_table_is_what_is_reckoned() -> None:
    text = (Path(__file__).parents[3] / "docs/instances.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) × (\d+) \| ([\d.]+) GiB \| (ml\.\S+) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    for feature_dim, num_factors, gib, instance_type in rows:
        step = plan(sizes(int(feature_dim.replace(",", ""))), {"num_factors": num_factors}, {}, {})["steps"][
            "fm_training"
        ]
        assert step["needs"]["memory_gib"] == float(gib)
        assert step["candidates"][0]["instance_type"] == instance_type


def test_the_documented_policy_is_the_default_one() -> None:
    text = (Path(__file__).parents[3] / "docs/instances.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    default = asdict(Policy())
    assert set(documented) == set(default)
    assert documented["families"] == ", ".join(default["families"])
    for name in ("preferred_price_factor", "maximum_price_factor", "memory_safety_factor"):
        assert float(documented[name]) == default[name]


def test_an_update_that_the_quota_has_no_room_for_asks_for_a_second_fleet_and_not_for_patience() -> None:
    across = "Number of instances across active endpoints"
    account = Account({across: 3}, fleets={"shop-knn": Fleet("ml.m5.large", 2)})
    serving = {"endpoint_names": {"knn_endpoint": "shop-knn"}}
    policy = {"instance_counts": {"knn_endpoint": 2}}
    step = plan(sizes(100_000), {}, serving, policy, account)["steps"]["knn_endpoint"]
    assert step["candidates"] == []
    assert step["waiting_can_help"] is step["quota_increase"]["waiting_can_help"] is False
    assert step["quota_increase"]["desired_value"] == 4
    assert "stay until the new instances serve" in step["needs"]["notes"][0]
    serving = {"endpoint_names": {"knn_endpoint": "another"}}
    assert plan(sizes(100_000), {}, serving, policy, account)["steps"]["knn_endpoint"]["candidates"]
