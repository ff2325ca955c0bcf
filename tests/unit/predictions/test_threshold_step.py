import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fmrec.errors import FormatError, InputError
from fmrec.predictions.heldout import parts
from fmrec.predictions.threshold_and_calibration import threshold_curve
from fmrec.predictions.threshold_step import decide


def test_every_held_out_pair_is_written_with_its_score_and_what_it_means(make_run: Any) -> None:
    run = make_run()

    decision = decide(**run.arguments)

    written = run.decisions()
    assert written["user_id"].tolist() == [f"u{user}" for user in run.users]
    assert written["item_id"].tolist() == [f"i{item}" for item in run.items]
    assert written["label"].tolist() == run.labels.tolist()
    np.testing.assert_allclose(written["score"], run.machine.predict(run.rows), rtol=1e-6)
    assert written["predicted"].tolist() == (run.scores >= decision["threshold"]).tolist()
    assert set(written["model_version"]) == {"m1"}
    margins = np.log(run.scores / (1 - run.scores))
    fitted = decision["calibration"]
    np.testing.assert_allclose(
        written["probability"], 1 / (1 + np.exp(-(fitted["slope"] * margins + fitted["intercept"])))
    )
    assert pq.read_table(run.folder / "predictions/pairs/part-00001.parquet").num_rows == 300


def test_the_decision_is_written_and_answered(make_run: Any) -> None:
    run = make_run()

    decision = decide(**run.arguments)

    curve = threshold_curve(run.scores, run.labels)
    fitted = decision["calibration"]
    even = -fitted["intercept"] / fitted["slope"]
    assert decision["threshold"] == pytest.approx(1 / (1 + np.exp(-even)))
    assert decision["curve"] == curve.to_document()
    assert len(decision["curve"]["threshold"]) == 101
    assert decision["rows"] == {"scored": 800, "yes": int(run.labels.sum()), "chosen_on": 800}
    usual = decision["judged"]["usual"]
    assert usual["accuracy"] == ((run.scores >= 0.5) == run.labels).mean()
    expected = -np.where(run.labels == 1, np.log(run.scores), np.log1p(-run.scores)).mean()
    assert decision["judged"]["cross_entropy"]["score"] == pytest.approx(expected)
    # Labels were drawn with a threshold of 1.2 on the margin, which is 0.77 of the score.
    assert decision["threshold"] == pytest.approx(0.77, abs=0.08)
    assert decision["judged"]["chosen"]["accuracy"] > usual["accuracy"]
    assert f"right in {decision['judged']['chosen']['accuracy']:.1%}" in decision["sentence"]
    stored = json.loads((run.folder / "predictions/decision.json").read_text())
    assert stored == {key: value for key, value in decision.items() if key != "uri"}
    assert decision["uri"].endswith("/predictions/decision.json")
    assert len(json.dumps(decision)) < 32_000


def test_a_regressor_says_how_likely_a_rating_at_the_threshold_is(make_run: Any) -> None:
    run = make_run("regression")

    decision = decide(**run.arguments)

    written = run.decisions()
    assert (decision["predictor_type"], decision["level"]) == ("regressor", 4.0)
    assert decision["rows"]["yes"] == int((run.labels >= 4).sum())
    assert decision["judged"]["cross_entropy"]["score"] is None
    assert written["probability"].between(0, 1).all()
    high = run.labels >= 4
    assert written["probability"][high].mean() > written["probability"][~high].mean() + 0.1
    assert written["probability"].mean() == pytest.approx(high.mean(), abs=0.01)


def test_a_choice_on_a_sample_is_near_the_one_on_all_and_still_judged_on_all(make_run: Any) -> None:
    run = make_run()

    decision = decide(**run.arguments, maximum_chosen_on=400)

    assert 340 < decision["rows"]["chosen_on"] < 460
    assert decision["rows"]["scored"] == decision["judged"]["chosen"]["rows"] == 800
    assert decision["threshold"] == pytest.approx(0.77, abs=0.1)


def test_rows_without_a_user_column_have_no_user_id(make_run: Any) -> None:
    run = make_run()
    (part, _) = parts(run.manifest, run.arguments["manifest_uri"], run.arguments["scores_uri"])
    # As if the first ten users had no columns.
    ranges = {"genre": (0, 10), "user": (10, 40), "item": (40, 70), "rest": (70, 73)}
    unknown = replace(part, manifest=replace(run.manifest, ranges=ranges))
    (block,) = unknown.blocks()

    assert (block.users == -1).tolist() == (run.users[:500] < 10).tolist()
    assert (block.users[block.users >= 0] == run.users[:500][run.users[:500] >= 10]).all()


def test_answers_with_blank_lines_are_read(make_run: Any) -> None:
    run = make_run()
    path = run.folder / "scores/part-00000.pbr.out"
    path.write_text("\n\n" + path.read_text().replace("\n", "\n\n", 3))

    assert decide(**run.arguments)["rows"]["scored"] == 800


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "has 499 scores, fewer than its part has records"),
        (lambda lines: [*lines, '{"score": 0.5}'], "more than the 500 scores"),
        (lambda lines: [*lines[:7], '{"score": NaN}', *lines[8:]], "line 8"),
        (lambda lines: [*lines[:7], '{"scores": 0.5}', *lines[8:]], "line 8: .* no finite 'score'"),
        (lambda lines: [lines[0] + lines[1], *lines[2:], lines[0]], "line 1: not one JSON object"),
        (lambda lines: [*lines[:3], "<html>", *lines[4:]], "line 4: not one JSON object"),
    ],
)
def test_scores_that_do_not_fit_the_rows_are_refused_by_line(
    make_run: Any, change: Any, message: str
) -> None:
    run = make_run()
    path = run.folder / "scores/part-00000.pbr.out"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    with pytest.raises(FormatError, match=message):
        decide(**run.arguments)
    assert not (run.folder / "predictions/decision.json").exists()


def test_a_missing_answer_and_a_missing_part_are_named(make_run: Any, rewrite_manifest: Any) -> None:
    run = make_run()
    rewrite_manifest(run, test=replace(run.manifest.test, rows=801))
    with pytest.raises(FormatError, match=r"800 held-out rows have scores .* counts 801"):
        decide(**run.arguments)

    (run.folder / "scores/part-00001.pbr.out").unlink()
    with pytest.raises(InputError, match=r"part-00001\.pbr\.out"):
        decide(**run.arguments)


def test_rows_of_another_width_are_refused(make_run: Any, rewrite_manifest: Any) -> None:
    run = make_run()
    ranges = {**run.manifest.ranges, "more": (73, 74)}
    rewrite_manifest(run, feature_dim=74, ranges=ranges)

    with pytest.raises(FormatError, match="expected sparse records of 74 features"):
        decide(**run.arguments)
