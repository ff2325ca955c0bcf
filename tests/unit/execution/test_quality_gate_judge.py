import json
from typing import Any

import pytest

from fmrec.execution.quality_gate import judge


def report(ndcg: Any, **more: Any) -> Any:
    return {"metrics": {"ndcg_at_10": ndcg, "recall_at_10": 0.3} | more}


def difference(mean: Any, low: Any, high: Any) -> Any:
    return {"ndcg_at_10": {"difference": mean, "low": low, "high": high}}


def evaluation(
    model: Any = 0.306, versus: Any = (0.17, 0.16, 0.18), champion: Any = None, versus_champion: Any = None
) -> Any:
    document = {
        "k": 10,
        "model": report(model),
        "baselines": {"most_liked": report(0.127), "most_rated": report(0.133)},
        "champion": None if champion is None else report(champion),
        "comparisons": {"most_rated": difference(*versus), "most_liked": difference(0.5, 0.4, 0.6)},
    }
    if champion is not None:
        document["comparisons"]["champion"] = difference(*versus_champion)
    return document


def test_a_model_that_beats_popularity_beyond_chance_passes_with_the_numbers() -> None:
    verdict = judge(evaluation(), {"ndcg_at_10": {"minimum": 0.295}})
    assert verdict.passed
    assert "ndcg_at_10 0.3060 (at least 0.295)" in verdict.sentence
    assert "popularity's NDCG@10 is 0.1330 (most-rated items), the model's 0.3060" in verdict.sentence
    assert "difference +0.1700, 95 % between +0.1600 and +0.1800" in verdict.sentence


def test_what_popularity_beats_is_refused_with_popularitys_ndcg() -> None:
    verdict = judge(evaluation(0.061, (-0.072, -0.08, -0.06)), {})
    assert not verdict.passed
    assert "popularity's NDCG@10 is 0.1330" in verdict.sentence
    assert "does not beat popularity" in verdict.sentence
    assert "sampled negatives" in verdict.sentence
    assert verdict.checks[-1].limit == 0.133
    assert json.dumps(verdict.to_document(), allow_nan=False)


def test_a_lead_over_popularity_within_chance_is_not_enough() -> None:
    assert not judge(evaluation(0.135, (0.002, -0.004, 0.008)), {}).passed
    assert judge(evaluation(0.139, (0.006, 0.001, 0.011)), {}).passed


@pytest.mark.parametrize(
    ("versus", "passed"),
    [
        ((0.01, 0.005, 0.015), True),
        ((-0.008, -0.012, -0.004), True),  # within the tolerance
        ((-0.02, -0.03, 0.001), True),  # within chance
        ((-0.02, -0.03, -0.01), False),
    ],
)
def test_a_loss_against_the_champion_counts_beyond_tolerance_and_chance(versus: Any, passed: Any) -> None:
    verdict = judge(evaluation(0.3, champion=0.3 - versus[0], versus_champion=versus), {})
    assert verdict.passed is passed
    assert f"the champion's NDCG@10 is {0.3 - versus[0]:.4f}, the model's 0.3000" in verdict.sentence
    assert ("loses more than the tolerance of 0.01" in verdict.sentence) is not passed
    assert judge(evaluation(0.3, champion=0.32, versus_champion=versus), {}, champion_tolerance=0.05).passed


@pytest.mark.parametrize(
    ("versus", "words"),
    [
        ((-0.01, -0.015, -0.005), "the simple model ranks better than this one, beyond chance."),
        ((-0.01, -0.02, 0.001), "the difference is within chance."),
        ((0.01, 0.005, 0.015), "this model ranks better, beyond chance."),
    ],
)
def test_what_the_best_simple_model_gives_is_said_and_decides_nothing(versus: Any, words: str) -> None:
    document = evaluation(0.3)
    document["simple_models"] = {"item_knn": report(0.2), "ease": report(0.3 - versus[0])}
    document["comparisons"] |= {"ease": difference(*versus), "item_knn": difference(0.1, 0.09, 0.11)}
    for passed in (True, False):
        verdict = judge(document, {"ndcg_at_10": 0.2 if passed else 0.4})
        assert verdict.passed is passed
        assert verdict.sentence.endswith(words)
        found = f"EASE, a simple model of the same interactions, has an NDCG@10 of {0.3 - versus[0]:.4f} (difference"
        assert found in verdict.sentence
    assert [check.metric for check in verdict.checks] == ["ndcg_at_10", "popularity_ndcg_at_10"]


def test_where_no_simple_model_was_fitted_the_sentence_says_why() -> None:
    document = evaluation() | {
        "simple_models": {},
        "simple_models_why": "simple models weren't fitted: too large",
    }

    assert judge(document, {}).sentence.endswith(". Simple models weren't fitted: too large.")
    assert "imple model" not in judge(evaluation(), {}).sentence


def test_where_one_simple_model_is_missing_the_sentence_says_so_after_the_others() -> None:
    document = evaluation(0.3) | {
        "simple_models": {"als": report(0.31)},
        "simple_models_why": "item-kNN wasn't fitted: too slow",
    }
    document["comparisons"] |= {"als": difference(-0.01, -0.02, 0.001)}

    sentence = judge(document, {}).sentence
    assert "ALS, a simple model of the same interactions, has an NDCG@10 of 0.3100" in sentence
    assert sentence.endswith("the difference is within chance. Item-kNN wasn't fitted: too slow.")


def test_absolute_thresholds_hold_too() -> None:
    verdict = judge(evaluation(), {"ndcg_at_10": 0.295, "recall_at_10": 0.31})
    assert not verdict.passed
    assert "recall_at_10 is 0.3000, at least 0.31 is required" in verdict.sentence
    assert [c.passed for c in verdict.checks] == [True, False, True]


def test_folded_in_users_count_where_the_thresholds_ask_for_them() -> None:
    document = evaluation() | {"folded_in": {"users": 400, "ndcg_ratio": 2.4}}
    assert judge(document, {}).passed
    kept = judge(document, {"folded_in_ndcg_ratio_at_10": {"minimum": 2}})
    assert kept.passed
    assert "folded_in_ndcg_ratio_at_10 2.4000 (at least 2)" in kept.sentence
    refused = judge(document, {"folded_in_ndcg_ratio_at_10": 2.5})
    assert not refused.passed
    assert "folded_in_ndcg_ratio_at_10 is 2.4000, at least 2.5 is required" in refused.sentence
    assert refused.metrics["folded_in_ndcg_ratio_at_10"] == 2.4


@pytest.mark.parametrize("folded_in", [None, {"users": 0, "why": "nobody"}])
def test_a_ratio_that_nobody_was_folded_in_for_is_no_success(folded_in: Any) -> None:
    verdict = judge(evaluation() | {"folded_in": folded_in}, {"folded_in_ndcg_ratio_at_10": 1})
    assert not verdict.passed
    assert "folded_in_ndcg_ratio_at_10 was not reported, though at least 1 is required" in verdict.sentence
    assert "nobody could be folded in (folded_in of the ranking report says why)" in verdict.sentence
