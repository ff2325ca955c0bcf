"""The plan's form, and that the estimates lead to the types they should."""

from __future__ import annotations

import json

import pytest

from fmrec.instances.account import Account
from fmrec.instances.plan import plan
from fmrec.instances.workloads import Sizes

STEPS = ["fm_training", "knn_training", "batch_transform", "knn_endpoint", "fm_endpoint"]


def sizes(feature_dim: int, rows: int = 1_000_000) -> Sizes:
    items = feature_dim // 5
    return Sizes.guess(rows=rows, users=feature_dim - items, items=items)


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


def test_the_plan_is_json_with_five_steps_in_order() -> None:
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
