"""When data is another than the champion's: measures, limits and their sentences."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.artifacts.manifest import Dropped
from fmrec.deployment import drift_limits
from fmrec.errors import FormatError, SettingsError
from fmrec.operation import drift, drift_step
from fmrec.operation.drift import Counts, Facts
from tests.fixtures.manifests import manifest

BEFORE = Facts(
    run="monday", rows=1000, quarantined=10, users=100, items=50, interactions=900, picked=0.5, longest_gap=1
)  # fmt: skip
SAME = replace(BEFORE, run="tuesday")
HISTOGRAMS = st.lists(st.integers(0, 10_000), min_size=3, max_size=3)


def levels(now: Facts, **rules: Any) -> dict[str, str]:
    found = drift.compare(BEFORE, now, drift_limits.limits(rules))
    return {finding.measure: finding.level for finding in found.findings}


def test_psi_is_the_textbooks_sum_over_shares() -> None:
    before, now = [50, 30, 20], [20, 30, 50]
    expected = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.5 - 0.2) * math.log(0.5 / 0.2)
    assert drift.psi(before, now) == pytest.approx(expected)
    assert drift.psi([0, 0], [1, 2]) == 0.0


@given(HISTOGRAMS, HISTOGRAMS)
def test_psi_is_symmetric_not_negative_and_nothing_for_equal_shares(a: list[int], b: list[int]) -> None:
    assert drift.psi(a, b) == pytest.approx(drift.psi(b, a))
    assert drift.psi(a, b) >= 0
    assert drift.psi(a, a) == 0


def test_popularity_is_compared_by_items_and_new_items_count() -> None:
    before = np.array([1, 40, 9, 50], np.int64)
    same = Counts(before, before * 3, new_ids=0, new_interactions=0)
    assert drift.popularity_psi(same) == pytest.approx(0, abs=0.01)
    turned = Counts(before, before[::-1].copy(), new_ids=0, new_interactions=0)
    assert drift.popularity_psi(turned) > 0.25
    flooded = Counts(before, before, new_ids=9, new_interactions=100)
    assert drift.popularity_psi(flooded) > 0.25
    assert drift.popularity_psi(Counts(before[:0], before[:0], 5, 5)) == 0.0


def test_data_like_the_champions_is_not_remarked_on() -> None:
    found = drift.compare(BEFORE, SAME, drift_limits.limits())
    assert (found.findings, found.stopped) == ([], False)
    assert found.sentence == "The data is like that of run monday, from which the champion learned."
    grown = replace(SAME, rows=1900, users=180, items=60, interactions=1700)
    assert levels(grown) == {}


@pytest.mark.parametrize(
    ("changes", "measure", "words"),
    [
        ({"rows": 700}, "fewer_rows", "700 rows where the champion's data had 1,000, 30.0% fewer; the limit is 20.0%"),
        ({"users": 70, "interactions": 630}, "fewer_users", "70 users where the champion's data had 100, 30.0% fewer"),
        ({"items": 30}, "fewer_items", "30 items where the champion's data had 50, 40.0% fewer"),
        ({"quarantined": 60}, "quarantined", "60 of 1,000 rows are in quarantine, 6.0%; the limit is 5.0%"),
        ({"interactions": 500}, "interactions_per_user", "5.00 interactions per user where the champion's data had 9.00"),
        ({"longest_gap": 3, "gap_after": "2026-11-05"}, "time_gap", "no interactions for 3 days after 2026-11-05, where the longest gap in the champion's data was 1 days; the limit is 0 more days"),
        ({"picked": 0.9}, "label_psi", "90.0% of the labels are positive where 50.0% were: PSI 0.879; the limit is 0.25"),
    ],
)  # fmt: skip
def test_each_limit_that_is_passed_is_a_warning_in_words(
    changes: dict[str, Any], measure: str, words: str
) -> None:
    now = replace(SAME, **changes)
    found = drift.compare(BEFORE, now, drift_limits.limits())
    assert [finding.measure for finding in found.findings] == [measure]
    assert words in found.findings[0].sentence
    assert (found.findings[0].level, found.stopped) == ("warn", False)
    assert found.sentence.startswith("The data differs from that of run monday: ")


def test_ratings_are_compared_by_their_distribution() -> None:
    before = replace(BEFORE, picked=None, values={"1": 10, "2": 20, "3": 40, "4": 20, "5": 10})
    same = replace(before, values={value: 7 * count for value, count in before.values.items()})
    rules = drift_limits.limits()
    assert drift.compare(before, same, rules).measures["label_psi"]["now"] == pytest.approx(0, abs=0.01)
    moved = replace(before, values={"4": 30, "5": 70})
    (finding,) = drift.compare(before, moved, rules).findings
    assert finding.measure == "label_psi"
    expected = drift.psi([10, 20, 40, 20, 10], [0, 0, 0, 30, 70])
    assert finding.value == pytest.approx(expected)
    assert finding.sentence.startswith(f"the ratings are distributed differently: PSI {expected:.3f}")
    # Hundreds of values are ten bins, so that chance doesn't add up.
    many = {str(value): 1 for value in range(1000)}
    even = {str(value): 2 for value in range(0, 1000, 2)}
    assert drift.values_psi(many, even) == pytest.approx(0, abs=1e-3)


def test_what_is_compared_with_limits_is_listed_with_them() -> None:
    found = drift.compare(BEFORE, replace(SAME, rows=700), drift_limits.limits({"stop": {"fewer_rows": 0.5}}))
    assert found.limits["fewer_rows"] == {"value": pytest.approx(0.3), "warn": 0.2, "stop": 0.5}
    assert found.limits["time_gap"] == {"value": 0.0, "warn": 0, "stop": None}
    assert "new_users" not in found.limits
    untimed = drift.compare(BEFORE, replace(SAME, longest_gap=None), drift_limits.limits())
    assert "time_gap" not in untimed.limits
    json.dumps(found.to_document(), allow_nan=False)


def test_a_stop_limit_stops_and_says_how_to_go_on() -> None:
    found = drift.compare(BEFORE, replace(SAME, rows=400), drift_limits.limits({"stop": {"fewer_rows": 0.5}}))
    assert found.stopped
    assert "What is served stays as it is." in found.sentence
    assert '{"encoded": "<this run>", "drift": {"stop": {}}}' in found.sentence
    assert levels(replace(SAME, rows=700), stop={"fewer_rows": 0.5}) == {"fewer_rows": "warn"}
    assert levels(replace(SAME, rows=700), warn={}) == {}


def test_layers_replace_whole_sections() -> None:
    deployed = {"warn": None, "stop": {"fewer_rows": 0.5, "quarantined": 0.2}}
    assert drift_limits.limits(deployed) == {
        "warn": drift_limits.WARN,
        "stop": {"fewer_rows": 0.5, "quarantined": 0.2},
    }
    assert drift_limits.limits(deployed, {"stop": {}})["stop"] == {}
    assert drift_limits.limits(None, {"warn": {"new_items": 0.1}})["warn"] == {"new_items": 0.1}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "drift is .*expected an object"),
        ({"halt": {}}, "drift.halt is unknown: expected warn or stop"),
        ({"stop": 1}, "drift.stop is 1: expected an object of measures"),
        ({"stop": {"rows": 0.5}}, "drift.stop.rows is unknown: expected one of fewer_rows"),
        ({"warn": {"new_items": "half"}}, "drift.warn.new_items is 'half': expected a number"),
        ({"warn": {"new_items": True}}, "drift.warn.new_items is True: expected a number"),
        ({"warn": {"new_items": math.nan}}, "expected a number"),
        ({"stop": {"fewer_rows": 20}}, "drift.stop.fewer_rows is 20: expected a number from 0 to 1"),
        ({"stop": {"label_psi": -1}}, "expected a number from 0, the PSI of the labels"),
    ],
)
def test_limits_that_make_no_sense_are_refused(document: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        drift_limits.limits(document)


def encoded(folder: Path, run: str, users: dict[str, int], items: dict[str, int], **changes: Any) -> str:
    """An encoding's manifest and feature index; its URI."""
    document = replace(manifest(run, len(users), len(items)), **changes)
    path = folder / "encoded" / run
    (path / "feature_index").mkdir(parents=True)
    (path / "manifest.json").write_text(document.to_json())
    names = [*users, *items]
    table = pa.table({
        "column": np.arange(len(names)),
        "namespace": ["user"] * len(users) + ["item"] * len(items),
        "name": names,
        "interactions": np.array([*users.values(), *items.values()], np.int64),
    })  # fmt: skip
    pq.write_table(table, path / "feature_index" / "part-00000.parquet")
    return str(path / "manifest.json")


def champion(folder: Path, manifest_uri: str) -> str:
    path = folder / "champion" / "model.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"run": "r", "manifest_uri": manifest_uri}))
    return str(path)


def test_the_step_compares_ids_of_both_encodings(tmp_path: Path) -> None:
    before = encoded(tmp_path, "r-1", {"u1": 3, "u2": 3}, {"a": 4, "b": 1, "c": 1})
    now = encoded(tmp_path, "r-2", {"u2": 2, "u3": 2, "u4": 2}, {"d": 3, "a": 1, "c": 2})
    found = drift_step.compare_with_champion(now, champion(tmp_path, before), drift_limits.limits())
    assert found.before == "r-1"
    assert found.measures["users"] == {"before": 2, "now": 3}
    assert found.measures["new_users"]["now"] == pytest.approx(2 / 3)
    assert found.measures["new_items"]["now"] == pytest.approx(1 / 3)
    expected = drift.popularity_psi(Counts(np.array([4, 1, 1]), np.array([1, 0, 2]), 1, 3))
    assert found.measures["popularity_psi"]["now"] == pytest.approx(expected)
    assert {finding.measure for finding in found.findings} == {"new_users", "popularity_psi"}
    json.dumps(found.to_document(), allow_nan=False)


def test_too_many_ids_are_not_compared_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = encoded(tmp_path, "r-1", {"u1": 3}, {"a": 4, "b": 1})
    now = encoded(tmp_path, "r-2", {"u2": 2}, {"c": 3, "d": 1})
    monkeypatch.setattr(drift_step, "MOST_IDS", 1)
    measures = drift_step.compare_with_champion(
        now, champion(tmp_path, before), drift_limits.limits()
    ).measures
    assert measures["new_users"]["now"] == 1.0
    assert measures["new_items"]["now"] is None
    assert measures["popularity_psi"]["now"] is None


def test_without_a_champion_or_its_encoding_nothing_is_compared(tmp_path: Path) -> None:
    now = encoded(tmp_path, "r-2", {"u": 1}, {"a": 1})
    rules = drift_limits.limits({"stop": {"fewer_rows": 0.0}})
    (tmp_path / "champion").mkdir()
    missing = drift_step.compare_with_champion(now, str(tmp_path / "champion/model.json"), rules)
    assert missing.sentence.startswith("No model serves this data set yet")
    same = drift_step.compare_with_champion(now, champion(tmp_path, now), rules)
    assert same.sentence == "The champion learned from the same encoding."
    (tmp_path / "encoded/gone").mkdir()
    gone = champion(tmp_path, str(tmp_path / "encoded/gone/manifest.json"))
    assert "deleted by its age" in drift_step.compare_with_champion(now, gone, rules).sentence
    (tmp_path / "champion/model.json").write_text("{}")
    with pytest.raises(FormatError, match="is no record of the model that serves"):
        drift_step.compare_with_champion(now, str(tmp_path / "champion/model.json"), rules)


def test_picks_are_counted_for_each_kind_of_label() -> None:
    binary = manifest("r")
    assert drift_step.facts_of(binary).picked == 0.5
    implicit = replace(
        binary, dataset={"label": {"mode": "implicit"}}, dropped_reasons={Dropped.NOT_PICKED: 10}
    )
    assert drift_step.facts_of(implicit).picked == 30 / 40
    days = {
        "first": "2026-11-01",
        "last": "2026-11-09",
        "used": 7,
        "longest_gap": 2,
        "gap_after": "2026-11-03",
    }
    rating = replace(
        binary, dataset={"label": {"mode": "regression"}}, details={"values": {"5": 3}, "days": days}
    )
    facts = drift_step.facts_of(rating)
    assert (facts.picked, facts.values) == (None, {"5": 3})
    assert (facts.longest_gap, facts.gap_after) == (2, "2026-11-03")
    assert drift_step.facts_of(binary).longest_gap is None
