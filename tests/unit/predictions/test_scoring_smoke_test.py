import json
from typing import Any

import pytest

from fmrec.errors import FormatError
from fmrec.predictions.scoring_smoke_test import smoke_test


def arguments(run: Any, endpoint: Any) -> dict[str, Any]:
    endpoint.machine = run.machine
    return {
        "endpoint_name": "fmrec-fm",
        "manifest_uri": run.arguments["manifest_uri"],
        "scores_uri": run.arguments["scores_uri"],
        "runtime": endpoint.client,
    }


@pytest.mark.parametrize("mode", ["binary", "regression"])
def test_a_held_out_pair_is_asked_for_in_both_forms(make_run: Any, endpoint: Any, mode: str) -> None:
    run = make_run(mode)

    answer = smoke_test(**arguments(run, endpoint))

    assert answer.passed, answer.sentence
    assert answer.as_json == answer.as_recordio == answer.scored == run.scores[0]
    assert (answer.user_id, answer.item_id) == (f"u{run.users[0]}", f"i{run.items[0]}")
    (path, as_json, body), (_, as_recordio, _) = endpoint.requests
    assert path == "/endpoints/fmrec-fm/invocations"
    assert (as_json, as_recordio) == ("application/json", "application/x-recordio-protobuf")
    assert json.loads(body)["instances"] == [
        {
            "data": {
                "features": {
                    "keys": run.rows[0].indices.tolist(),
                    "shape": [73],
                    "values": [1.0, 1.0, 0.5],
                }
            }
        }
    ]


@pytest.mark.parametrize("wrong", ["application/json", "application/x-recordio-protobuf"])
def test_another_score_in_either_form_fails_with_a_sentence(make_run: Any, endpoint: Any, wrong: str) -> None:
    run = make_run()
    endpoint.change = lambda content_type, text: (
        b'{"predictions": [{"score": 0.123, "predicted_label": 0.0}]}' if content_type == wrong else text
    )

    answer = smoke_test(**arguments(run, endpoint))

    assert not answer.passed
    assert "0.123000" in answer.sentence
    assert "run the workflow again" in answer.sentence


def test_where_nothing_was_held_out_the_two_forms_are_compared(make_run: Any, endpoint: Any) -> None:
    run = make_run()

    answer = smoke_test(**arguments(run, endpoint) | {"scores_uri": None})

    assert answer.passed
    assert answer.scored is None
    assert answer.as_json == answer.as_recordio
    assert "the same in both forms" in answer.sentence


@pytest.mark.parametrize(
    "text", [b"{}", b"<html>", b'{"predictions": []}', b'{"predictions": [{"score": NaN}]}']
)
def test_an_answer_that_is_not_of_the_algorithm_is_refused(make_run: Any, endpoint: Any, text: bytes) -> None:
    run = make_run()
    endpoint.change = lambda _content_type, _text: text

    with pytest.raises(FormatError, match="endpoint fmrec-fm answered"):
        smoke_test(**arguments(run, endpoint))
