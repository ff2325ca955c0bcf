import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from fmrec.commands.predict import render
from fmrec.errors import FormatError, InputError
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.predictions.pairs import predict
from fmrec.predictions.served_model import Served, read, write
from fmrec.predictions.threshold_step import decide


@pytest.fixture
def served(make_run: Any, rewrite_manifest: Any, endpoint: Any) -> Any:
    """A decided run whose model knows users and items only, and the endpoint that serves it."""
    run = make_run()
    decision = decide(**run.arguments)
    machine = FactorizationMachine(
        run.machine.bias, run.machine.linear[:70], run.machine.factors[:70], "binary_classifier"
    )
    run = replace(run, machine=machine)
    rewrite_manifest(run, feature_dim=70, ranges={"user": (0, 40), "item": (40, 70)})
    endpoint.machine = machine
    record = Served("r1", "m1", "model.tar.gz", run.arguments["manifest_uri"], decision["uri"], "fmrec-fm")
    return run, decision, record


def test_pairs_are_answered_as_the_model_and_the_decision_say(served: Any, endpoint: Any) -> None:
    run, decision, record = served
    items = ["i3", *(f"i{item}" for item in range(29, -1, -1))]

    # Somebody whose likings are mixed.
    everybody = run.machine.linear[:40]
    user = int(np.argsort(everybody)[32])
    predictions = predict(record, f"u{user}", items, endpoint.client)

    rows = scipy.sparse.lil_matrix((31, 70))
    for row, item in enumerate(items):
        rows[row, [user, 40 + int(item[1:])]] = 1
    expected = run.machine.predict(rows.tocsr())
    np.testing.assert_allclose([p.score for p in predictions], expected, rtol=1e-6)
    assert [p.item_id for p in predictions] == items
    assert [p.yes for p in predictions] == (expected >= decision["threshold"]).tolist()
    assert len({p.yes for p in predictions}) == 2
    fitted = decision["calibration"]
    logits = fitted["slope"] * np.log(expected / (1 - expected)) + fitted["intercept"]
    answered = np.array([p.probability for p in predictions], np.float64)
    np.testing.assert_allclose(answered, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert len(endpoint.requests) == 1


def test_without_a_decision_the_usual_cut_holds_and_no_probability_is_known(
    served: Any, endpoint: Any
) -> None:
    _, _, record = served

    predictions = predict(replace(record, decision_uri=""), "u17", ["i3", "i29", "i0"], endpoint.client)

    assert all(p.probability is None for p in predictions)
    assert [p.yes for p in predictions] == [p.score >= 0.5 for p in predictions]
    assert "unknown" in render(record, predictions)


@pytest.mark.parametrize(
    ("user", "item", "message"),
    [("u40", "i3", "doesn't know the user 'u40'"), ("u4", "u3", "doesn't know the item 'u3'")],
)
def test_who_is_unknown_is_named(served: Any, endpoint: Any, user: str, item: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predict(served[2], user, ["i1", item], endpoint.client)
    assert not endpoint.requests


@pytest.fixture
def described(make_run: Any, rewrite_manifest: Any, endpoint: Any) -> Any:
    """A run whose items have genres, kept as the encoding keeps them, and its endpoint."""
    run = make_run()
    features = [{"name": "genre", "of": "item"}]
    folder = run.folder / "encoded/item_features"
    folder.mkdir()
    pq.write_table(
        pa.table(
            {
                "column": pa.array(range(40, 70), pa.int64()),
                "columns": pa.array([[40 + item, 70 + item % 3] for item in range(30)], pa.list_(pa.int64())),
                "values": pa.array([[1.0, 0.5]] * 30, pa.list_(pa.float32())),
            }
        ),
        folder / "part-00000.parquet",
    )
    rewrite_manifest(
        run,
        dataset=run.manifest.dataset | {"features": features},
        details={"side_features": {"item": "item_features/"}},
    )
    endpoint.machine = run.machine
    return run, Served("r1", "m1", "m", run.arguments["manifest_uri"], "", "fmrec-fm")


def test_pairs_bring_their_side_features(described: Any, endpoint: Any) -> None:
    run, record = described
    pairs = [0, 300, 799]
    expected = run.machine.predict(run.rows[pairs])

    for pair, score in zip(pairs, expected, strict=True):
        (answer,) = predict(record, f"u{run.users[pair]}", [f"i{run.items[pair]}"], endpoint.client)
        assert answer.score == pytest.approx(score)


def test_an_encoding_that_keeps_no_side_features_is_refused(
    described: Any, rewrite_manifest: Any, endpoint: Any
) -> None:
    run, record = described
    rewrite_manifest(run, details={})
    with pytest.raises(InputError, match=r"doesn't keep the item features .* encode the data again"):
        predict(record, "u1", ["i1"], endpoint.client)


def test_models_of_context_are_refused_with_what_to_do(
    described: Any, rewrite_manifest: Any, endpoint: Any
) -> None:
    run, record = described
    features = [{"name": "device", "of": "interaction"}]
    rewrite_manifest(run, dataset=run.manifest.dataset | {"features": features})
    with pytest.raises(InputError, match=r"the context of interactions \(device\).* in batch"):
        predict(record, "u1", ["i1"], endpoint.client)


def test_as_many_scores_as_pairs_must_come_back(served: Any, endpoint: Any) -> None:
    endpoint.change = lambda _content_type, _text: b'{"predictions": [{"score": 0.5}]}'
    with pytest.raises(FormatError, match="answered 1 scores for 2 pairs"):
        predict(served[2], "u1", ["i1", "i2"], endpoint.client)


def test_a_damaged_decision_is_refused(served: Any, endpoint: Any) -> None:
    run, _, record = served
    (run.folder / "predictions/decision.json").write_text(json.dumps({"threshold": 0.5}))
    with pytest.raises(FormatError, match="is no decision"):
        predict(record, "u1", ["i1"], endpoint.client)


def test_predictions_are_a_table_in_the_terminal(served: Any, endpoint: Any) -> None:
    _, _, record = served
    predictions = predict(record, "u17", ["i3", "i29"], endpoint.client)

    first, header, row, _ = render(record, predictions).splitlines()

    assert first == "user u17, model m1, endpoint fmrec-fm"
    assert header.split() == ["item", "score", "probability", "likes", "it"]
    assert row.split()[:2] == ["i3", f"{predictions[0].score:.4f}"]
    assert row.split()[3] == ("yes" if predictions[0].yes else "no")


def test_what_serves_is_recorded_and_read(tmp_path: Any) -> None:
    uri = str(tmp_path / "champion/predict-rating.json")
    with pytest.raises(InputError, match=r'start a run with {"task": "predict-rating"}'):
        read(uri)

    record = Served("r1", "m1", "model", "manifest", "", "fmrec-fm")
    write(record, uri)
    assert read(uri) == record

    (tmp_path / "champion/predict-rating.json").write_text("{}")
    with pytest.raises(FormatError, match="no record of the model that serves pairs"):
        read(uri)
