"""The way of a run whose data is not like the champion's."""

from __future__ import annotations

import json
from typing import Any

import pytest

COMPARE = "Compare the data with the champion's"
WARNING = {"measure": "new_items", "value": 0.6, "limit": 0.5, "level": "warn", "sentence": "60% are new"}


def answer(**changes: Any) -> Any:
    usual = {"stopped": False, "sentence": "S", "before": "r-0", "measures": {}, "findings": [WARNING]}
    return lambda arguments: {"Payload": {**usual, **changes}}


@pytest.mark.parametrize(
    ("given", "record"),
    [({}, "champion/model.json"), ({"task": "predict-rating"}, "champion/predict-rating.json")],
)
def test_every_run_is_compared_with_what_serves_for_its_task_and_reports_it(
    run: Any, given: Any, record: str
) -> None:
    started, (status, _) = run(given, **{COMPARE: answer()})

    assert status == "SUCCEEDED"
    payloads = {name: arguments["Payload"] for name, arguments in started.calls if "Payload" in arguments}
    assert payloads[COMPARE]["manifest_uri"].endswith("/encoded/run-1/manifest.json")
    assert payloads[COMPARE]["champion_uri"] == f"s3://fmrecstorage-data/{record}"
    assert payloads[COMPARE]["limits"]["stop"] == {}
    assert payloads[COMPARE]["limits"]["warn"]["popularity_psi"] == 0.25
    assert payloads["Write the run report"]["report"]["drift"]["findings"] == [WARNING]
    assert started.visited.index(COMPARE) < started.visited.index("Choose instances")


def test_a_data_set_of_another_name_is_compared_with_its_own_champion(run: Any) -> None:
    started, _ = run({"name": "books"}, **{COMPARE: answer()})
    (payload,) = [arguments["Payload"] for name, arguments in started.calls if name == COMPARE]
    assert payload["champion_uri"] == "s3://fmrecstorage-data/champion/books/model.json"


def test_the_inputs_limits_go_before_the_deployed_ones(run: Any) -> None:
    started, _ = run({"encoded": "run-0", "drift": {"stop": {"fewer_rows": 0.5}}}, **{COMPARE: answer()})
    (payload,) = [arguments["Payload"] for name, arguments in started.calls if name == COMPARE]
    assert payload["manifest_uri"].endswith("/encoded/run-0/manifest.json")
    assert payload["limits"]["stop"] == {"fewer_rows": 0.5}


def test_drifted_data_stops_before_anything_is_trained_with_its_sentence(run: Any) -> None:
    started, (status, output) = run({}, **{COMPARE: answer(stopped=True, sentence="Half the rows are gone.")})

    assert status == "FAILED"
    failure = json.loads(output["Cause"])
    assert failure["state"] == COMPARE
    assert failure["error"] == {"Error": "DriftError", "Cause": "Half the rows are gone."}
    assert "Choose instances" not in started.visited
    assert started.visited[-3:] == ["Explain the failure", "Send the failure notification", "The run failed"]
