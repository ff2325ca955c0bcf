"""The page and the closing lines of a run: the report's figures, and nothing that needs a network."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fmrec.commands.run import verdict
from fmrec.execution import run_report
from fmrec.reporting import page, run_page, run_summary

EVALUATION = {
    "k": 10,
    "users": 940,
    "model": {"metrics": {"ndcg_at_10": 0.2988}},
    "baselines": {
        "most_rated": {"metrics": {"ndcg_at_10": 0.1333}},
        "most_liked": {"metrics": {"ndcg_at_10": 0.1201}},
    },
    "champion": {"metrics": {"ndcg_at_10": 0.2875}},
}

FOLDED_IN = {
    "basis": "left-out",
    "users": 188,
    "regularization": 4.0,
    "negative_weight": 0.02,
    "by_interactions": {
        length: {"metrics": {"ndcg_at_10": value}}
        for length, value in (("all", 0.2919), ("10", 0.2501), ("5", 0.2272), ("3", 0.21), ("1", 0.1609))
    },
    "popularity": {"metrics": {"ndcg_at_10": 0.1162}},
    "ndcg_ratio": 2.51,
}


def report(**changes: Any) -> dict[str, Any]:
    chosen = {
        "instance_count": 1,
        "instance_type": "ml.m5.large",
        "usd_per_hour": 0.115,
        "why": "fits & cheap",
    }
    return {
        "run": "r-1",
        "task": "recommend",
        "started": "2026-11-28T17:11:40Z",
        "written": "2026-11-28T17:14:40+00:00",
        "sizes": {"rows": 90570, "test_rows": 9430, "users": 943, "items": 1682, "feature_dim": 2625},
        "chosen": {"fm_training": chosen, "knn_endpoint": chosen},
        "refusals": [{"step": "fm_training", "instance_type": "ml.c5.large", "cause": "limit <0>"}],
        "jobs": {"fm_training": {"name": "a", "seconds": 400, "billable_seconds": 360}},
        "spent": {"steps": {"fm_training": {"usd": 0.0115, "seconds": 360.0}}, "usd": 0.0115},
        "evaluation": EVALUATION,
        "metrics": {},
        "verdict": {
            "sentence": "The model is good enough to publish.",
            "metrics": {"ndcg_at_10": 0.2988},
            "checks": [{"metric": "ndcg_at_10", "value": 0.2988, "limit": 0.02, "passed": True}],
        },
        "tuned": None,
        "model_package": {"group": "fmrec-recommend", "version": 3},
        "model_version": "r-1",
        "published": {"users": 943, "recommendations": 9430, "table": "T"},
        "decision": None,
        "endpoint": {"name": "fmrec-knn", "status": "InService", "answer": {"sentence": "The same."}},
        "hyperparameters": {"epochs": "11"},
        **changes,
    }


class Text(HTMLParser):
    """The text of a page, and which tags were left open."""

    VOID = frozenset({"meta", "br", "html"})

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def judged(coverage: float, novelty: float, diversity: float, head: float) -> dict[str, Any]:
    metrics = {"coverage_at_10": coverage, "novelty_at_10": novelty, "diversity_at_10": diversity}
    popularity = [{"segment": "head", "share_of_recommendations": head}]
    return {
        "metrics": metrics | {"ndcg_at_10": 0.2},
        "intervals": {},
        "segments": {"item_popularity": popularity},
    }


def test_the_page_shows_how_varied_lists_are_next_to_others() -> None:
    evaluation = EVALUATION | {
        "model": judged(0.312, 2.345, 0.6789, 0.45),
        "baselines": {"most_rated": judged(0.05, 1.2, 0.4, 1.0)},
        "simple_models": {"ease": judged(0.24, 2.1, 0.6, 0.5)},
    }
    rendered = run_page.render(report(evaluation=evaluation))
    shown = rendered[rendered.index("What lists show") :]
    for row in (
        ("this run", "31.2%", "45.0%", "2.35", "0.679"),
        ("what is rated most", "5.0%", "100.0%", "1.20", "0.400"),
        ("EASE", "24.0%", "50.0%", "2.10", "0.600"),
    ):
        places = [shown.index(f">{cell}<") for cell in row]
        assert places == sorted(places)
    # The champion of an earlier version, whose report has none of this.
    assert list(run_summary.beyond_accuracy(report(evaluation=evaluation))) == [
        "model",
        "what is rated most",
        "EASE",
    ]
    assert "What lists show" not in run_page.render(report())


def read(html: str) -> str:
    parser = Text()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.text


def test_the_page_shows_quality_cost_instances_and_refusals() -> None:
    html = run_page.render(report())
    text = read(html)
    for part in (
        "Run r-1: recommend on data set default",
        "90,570",
        "0.2988",
        "what is rated most",
        "0.1333",
        "the champion before",
        "0.2875",
        "0.0115 USD",
        "83.95 USD",
        "180 s",
        "fits & cheap",
        "refused: ml.c5.large: limit <0>",
        "version 3 of fmrec-recommend",
        "epochs",
    ):
        assert part in text, part
    assert "limit <0>" not in html  # escaped
    assert "http" not in html


def test_drift_is_drawn_next_to_its_limits() -> None:
    drift = {
        "measures": {"rows": {"before": 1000, "now": 700}},
        "limits": {
            "fewer_rows": {"value": 0.3, "warn": 0.2, "stop": 0.6},
            "new_items": {"value": 0.1, "warn": 0.5, "stop": None},
            "time_gap": {"value": 0.0, "warn": 0, "stop": None},
        },
        "findings": [{"sentence": "700 rows where the champion's data had 1,000"}],
    }
    html = run_page.render(report(drift=drift))
    text = read(html)
    for part in ("fewer rows", "0.3", "new items", "Marks are the limits", "700 rows where"):
        assert part in text, part
    # 0.6 is the larger of value and limits: the scale ends at 0.75.
    assert "<i class='warn' style='width:40.00%'></i><b class=warn style='left:26.67%'" in html
    assert "<b class=stop style='left:80.00%' title='stop: 0.6'></b>" in html
    assert "<i class='' style='width:16.00%'></i><b class=warn style='left:80.00%'" in html
    assert "Marks are the limits" not in read(run_page.render(report(drift={"sentence": "No champion."})))


def test_each_hyperparameter_says_where_it_comes_from() -> None:
    chosen = {"hyperparameters": {"epochs": "3", "factors_wd": "2e-5", "num_factors": "8"}}
    by_shape = {"shape": {"picks": 9}, "hyperparameters": {"epochs": "3", "factors_wd": "3e-5"}}
    tuned = {"hyperparameters": {"factors_wd": "2e-5"}}
    text = " ".join(read(run_page.render(report(**chosen, by_shape=by_shape, tuned=tuned))).split())

    for row in ("epochs 3 the data's shape", "factors_wd 2e-5 tuning", "num_factors 8 settings or input"):
        assert row in text, row


def test_simple_models_stand_next_to_the_model() -> None:
    simple = {"ease": {"metrics": {"ndcg_at_10": 0.3107}}, "item_knn": {"metrics": {"ndcg_at_10": 0.2239}}}
    text = read(run_page.render(report(evaluation={**EVALUATION, "simple_models": simple})))

    for part in ("EASE", "0.3107", "item-kNN", "0.2239"):
        assert part in text, part
    assert "EASE" not in read(run_page.render(report()))


def test_a_first_run_and_a_run_that_scores_pairs_have_pages_too() -> None:
    first = run_page.render(report(evaluation={**EVALUATION, "champion": None}))
    assert "the champion before" not in first
    scored = report(
        task="predict-rating",
        evaluation=None,
        published={"users": 0, "recommendations": 0, "table": "T"},
        decision={"sentence": "A score of 0.5 or more means yes."},
        endpoint={"name": "fmrec-fm", "status": "BatchOnly", "why": "no instance was left"},
    )
    text = read(run_page.render(scored))
    assert "A score of 0.5 or more means yes." in text
    assert "no instance was left" in text
    assert "users have recommendations" not in text


def test_what_stayed_of_the_lists_is_said_everywhere() -> None:
    changes: dict[str, Any] = {
        "sentence": "90.0% of 943 users have the same list.",
        "overlap": 0.95,
        "unchanged": 0.9,
        "coverage": 0.4,
    }
    found = report(published={"users": 943, "recommendations": 9430, "table": "T", "changes": changes})
    assert changes["sentence"] in read(run_page.render(found))
    lines = run_summary.summary(found, "s3://b/runs/r-1/report.json", "s3://b/runs/r-1/report.html")
    assert f"  lists      {changes['sentence']}" in lines
    assert changes["sentence"] in run_report.message(found, "s3://b/runs/r-1/report.json")
    shown = run_report.logged(found)
    assert (shown["overlap"], shown["unchanged"], shown["coverage"]) == (0.95, 0.9, 0.4)
    assert run_report.logged(report())["overlap"] is None


def test_bars_are_drawn_to_the_largest_and_highlight_the_run() -> None:
    drawn = page.bars({"this run": 0.3, "popular": 0.15}, "this run")
    assert "<i style='width:100.00%'>" in drawn
    assert "<i class=other style='width:50.00%'>" in drawn


def test_the_summary_says_quality_users_instances_refusals_cost_and_where_the_report_is() -> None:
    lines = run_summary.summary(report(), "s3://b/runs/r-1/report.json", "s3://b/runs/r-1/report.html")
    assert [line.strip() for line in lines] == [
        "quality    NDCG@10 0.2988; popularity's 0.1333, the champion's 0.2875",
        "verdict    The model is good enough to publish.",
        "served     943 users, 9,430 recommendations",
        "endpoint   fmrec-knn is in service",
        "instances  fm_training: 1 x ml.m5.large",
        "instances  knn_endpoint: 1 x ml.m5.large",
        "refused    fm_training: ml.c5.large: limit <0>",
        "cost       0.0115 USD for the SageMaker jobs; the endpoint costs 83.95 USD a month",
        "report     s3://b/runs/r-1/report.html",
        "s3://b/runs/r-1/report.json",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"evaluation": {**EVALUATION, "champion": None}}, "NDCG@10 0.2988; popularity's 0.1333, there was no champion"),
        ({"evaluation": None, "verdict": {"metrics": {"rmse": 0.91}}}, "rmse 0.9100"),
        ({"evaluation": None, "verdict": {}, "metrics": {}}, "not measured"),
    ],
)  # fmt: skip
def test_quality_without_a_champion_or_without_lists(changes: dict[str, Any], expected: str) -> None:
    assert run_summary.quality(report(**changes)) == expected


def test_an_unknown_price_is_not_free() -> None:
    assert run_summary.cost(report(spent={"steps": {}, "usd": None})).startswith("unknown for the SageMaker")
    assert (
        run_summary.cost(report(endpoint={"name": "e", "status": "Off"}))
        == "0.0115 USD for the SageMaker jobs"
    )


def test_a_run_writes_its_page_next_to_its_report_and_fmrec_run_ends_with_it(tmp_path: Path) -> None:
    uri = str(tmp_path / "runs/r-1/report.json")
    written = run_report.write(report(), uri)
    page_path = tmp_path / "runs/r-1/report.html"
    assert "Run r-1: recommend" in read(page_path.read_text(encoding="utf-8"))
    assert str(page_path) in written["message"]
    lines = verdict({"report": uri})
    assert lines == run_summary.summary(json.loads(Path(uri).read_text()), uri, str(page_path))
    missing = verdict({"report": str(tmp_path / "none.json"), "verdict": {"sentence": "Good."}})
    assert missing[0] == "  Good."
    assert missing[1].startswith("  The report can't be read: ")


def test_new_users_have_a_table_and_a_line_of_their_own() -> None:
    found = report(evaluation=EVALUATION | {"folded_in": FOLDED_IN})
    line = (
        "NDCG@10 0.2919 folded in from all, 0.2272 from 5, 0.1609 from 1 of their interactions; popularity's 0.1162 "
        "(188 users left out of training)"
    )
    assert run_summary.new_users(found) == line
    assert f"  new users  {line}" in run_summary.summary(found, "j", "h")
    shown = Text()
    shown.feed(run_page.render(found))
    for words in ("New users", "folded in from 3", "0.2100", "what is popular", "0.1162", "λ 4, c 0.02"):
        assert words in shown.text
    assert "their own trained vectors" not in shown.text
    trained = FOLDED_IN | {"basis": "trained", "own_vectors": {"metrics": {"ndcg_at_10": 0.3001}}}
    shown.feed(run_page.render(report(evaluation=EVALUATION | {"folded_in": trained})))
    assert "their own trained vectors" in shown.text
    assert "0.3001" in shown.text
    assert "188 trained users in place of new ones" in shown.text
    nobody = report(evaluation=EVALUATION | {"folded_in": {"users": 0, "why": "nobody has a history"}})
    assert run_summary.new_users(nobody) is None
    assert "Not measured: nobody has a history." in run_page.render(nobody)
    assert "New users" not in run_page.render(report())


def trial(number: int, decay: str, **more: Any) -> dict[str, Any]:
    return {"number": number, "round": 1, "hyperparameters": {"epochs": "3", "factors_wd": decay}, **more}


TUNED = {
    "objective": "ndcg_at_10",
    "best": 2,
    "value": 0.3101,
    "hyperparameters": {"epochs": "3", "factors_wd": "2e-05"},
    "trials": [
        trial(1, "3e-05", ndcg=0.3, job={"seconds": 1250}, usd=0.0399),
        trial(2, "2e-05", ndcg=0.3101, job={"seconds": 1260}, usd=0.0402),
        trial(3, "4.5e-05", why="no instance <was> left for it", usd=0),
    ],
}


def test_the_page_has_every_trial_with_what_it_reached_and_cost_or_why_it_has_no_model() -> None:
    text = " ".join(read(run_page.render(report(tuned=TUNED))).split())

    assert "1 3 3e-05 0.3000 1,250 0.0399 2 (chosen) 3 2e-05 0.3101 1,260 0.0402" in text
    assert "3 3 4.5e-05 no instance <was> left for it 0.0000" in text
    assert "with the run's own values 0.3000; 0.0801 USD." in text


def test_the_closing_lines_say_which_trial_was_chosen() -> None:
    lines = run_summary.summary(report(tuned=TUNED), "u", "p")

    (line,) = (line for line in lines if line.startswith("  tuning"))
    assert line.endswith(
        "trial 2 of 3, 1 without a model: factors_wd 2e-05, NDCG 0.3101 on validation rows; with the run's own "
        "values 0.3000; 0.0801 USD"
    )
    assert not any(line.startswith("  tuning") for line in run_summary.summary(report(), "u", "p"))
