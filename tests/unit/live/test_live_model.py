"""What is loaded of a run for live answers."""

import json
from pathlib import Path

import pytest

from fmrec.artifacts.fold_in_parameters import FoldingIn
from fmrec.errors import FormatError, NotFoundError
from fmrec.live.live_model import open_live_model
from tests.fixtures.small_runs import SmallRun


def with_bias(run: SmallRun, bias: float) -> None:
    path = Path(run.embeddings_uri)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bias": bias}))


def test_a_run_is_opened_with_its_offsets_ids_and_popularity(small_run: SmallRun) -> None:
    run = small_run
    with_bias(run, -1.5)
    model = open_live_model(run.manifest_uri, run.embeddings_uri, "3", folding_in=FoldingIn(4, 0.1))
    assert list(model.item_ids) == run.item_ids
    assert model.model_version == "3"
    assert (model.fold_in.regularization, model.fold_in.negative_weight) == (4, 0.1)
    vector, offset = model.fold_in.item(1)
    assert vector.tolist() == run.item_vectors[1, :-1].tolist()
    assert offset == pytest.approx(run.item_vectors[1, -1] - 1.5)
    assert model.interactions.shape == (len(run.item_ids),)
    assert model.ordinal(run.item_ids[2]) == 2
    with pytest.raises(NotFoundError, match="item 'nowhere' is not in model 3"):
        model.ordinal("nowhere")
    assert not model.attributes


def test_embeddings_of_an_earlier_version_are_refused(small_run: SmallRun) -> None:
    run = small_run
    with pytest.raises(FormatError, match="has no 'bias': it was exported by an earlier version"):
        open_live_model(run.manifest_uri, run.embeddings_uri, "3")
