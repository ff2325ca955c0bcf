"""λ and c of a run: on whom they are chosen, where they are kept, who reads them, and the second table."""

import json
from pathlib import Path

import numpy as np
import pytest

from fmrec.artifacts import fold_in_parameters as stored
from fmrec.artifacts.embedded_run import open_run
from fmrec.artifacts.fold_in_parameters import Basis, FoldingIn, Trial
from fmrec.artifacts.interactions import from_pairs
from fmrec.dataset.hashing import left_out
from fmrec.dataset.left_out_share import share_left_out
from fmrec.errors import FormatError
from fmrec.live import choosing_step, evaluation
from fmrec.live.choosing_step import choose_and_store, in_choosing_half, trained_users
from fmrec.live.evaluation import choose_on, judge
from fmrec.live.evaluation_step import judge_folded_in
from fmrec.live.live_model import open_fold_in, open_live_model
from tests.fixtures.taste_runs import BIAS, HISTORY, ITEMS, TasteRun, write_taste_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TasteRun:
    return write_taste_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def chosen(run: TasteRun) -> FoldingIn:
    return choose_and_store(run.manifest_uri, run.embeddings_uri)


def test_the_choice_rests_on_what_half_of_the_users_liked_of_the_held_out(
    run: TasteRun, chosen: FoldingIn
) -> None:
    half = np.flatnonzero(in_choosing_half(np.arange(90)))
    assert 30 < len(half) < 60
    assert (chosen.basis, chosen.users) == (Basis.TRAINED, len(half))
    assert len(chosen.trials) == len(evaluation.REGULARIZATIONS) * len(evaluation.NEGATIVE_WEIGHTS)
    best = max(chosen.trials, key=lambda trial: trial.score)
    assert (chosen.regularization, chosen.negative_weight) == (best.regularization, best.negative_weight)
    # By hand, with the whole histories: the first figure of the trial that was chosen.
    histories, held_out = (
        from_pairs(np.repeat(np.arange(len(half)), pairs.shape[1]), pairs[half].ravel(), len(half))
        for pairs in (run.liked, run.held_out)
    )
    fold_in = open_fold_in(open_run(run.manifest_uri, run.embeddings_uri), chosen)
    report = judge(fold_in, histories, histories, held_out, np.ones(ITEMS, np.int64), 90)
    assert best.ndcg_at_10 == pytest.approx(report["by_interactions"]["all"]["metrics"]["ndcg_at_10"])


def test_what_was_chosen_is_stored_with_the_model_and_served(run: TasteRun, chosen: FoldingIn) -> None:
    path = Path(run.embeddings_uri).with_name("folding_in.json")
    document = json.loads(path.read_text())
    assert document == chosen.to_document()
    assert open_run(run.manifest_uri, run.embeddings_uri).folding_in == chosen
    try:
        path.write_text(json.dumps(document | {"regularization": 7.5, "negative_weight": 0.25}))
        fold_in = open_live_model(run.manifest_uri, run.embeddings_uri, "1").fold_in
        assert (fold_in.regularization, fold_in.negative_weight) == (7.5, 0.25)
    finally:
        path.write_text(json.dumps(document))


def test_a_model_of_an_earlier_version_gets_the_defaults(tmp_path: Path) -> None:
    run = write_taste_run(tmp_path, 12)
    found = open_live_model(run.manifest_uri, run.embeddings_uri, "1").fold_in
    assert (found.regularization, found.negative_weight) == (2, 0.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"regularization": 0}, r"folding_in.json.regularization is 0: expected a number above 0"),
        ({"negative_weight": "much"}, r"negative_weight is 'much': expected a number above 0"),
        ({"negative_weight": None}, r"negative_weight is missing"),
        ({"basis": "hearsay"}, r"basis is 'hearsay': expected one of left-out, trained, default"),
        ({"trials": [{"regularization": 1}]}, r"trials\[0\].negative_weight is missing"),
    ],
)
def test_a_file_that_lies_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    uri = str(tmp_path / "embeddings.json")
    found = FoldingIn(4, 0.02, Basis.LEFT_OUT, 9, trials=(Trial(4, 0.02, 0.3, 0.2),))
    stored.write_folding_in(found, uri)
    assert stored.read_folding_in(uri) == found
    path = tmp_path / "folding_in.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match=words):
        stored.read_folding_in(uri)
    path.write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        stored.read_folding_in(uri)


def test_too_few_users_or_too_many_items_leave_the_defaults_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = write_taste_run(tmp_path, 21)
    found = choose_and_store(few.manifest_uri, few.embeddings_uri)
    assert (found.regularization, found.negative_weight, found.basis, found.users) == (
        2, 0.05, Basis.DEFAULT, 0
    )  # fmt: skip
    assert "expected at least 20 to choose on" in found.why
    monkeypatch.setattr(choosing_step, "MAXIMUM_SCORES", 19 * ITEMS)
    found = choose_and_store(few.manifest_uri, few.embeddings_uri)
    assert found.why.startswith("there are 120 items")


def test_users_are_drawn_from_parts_until_there_are_enough(run: TasteRun) -> None:
    opened = open_run(run.manifest_uri, run.embeddings_uri)
    found = trained_users(opened, 12, np.random.default_rng(3), choosing=True)
    assert len(found) == len(set(found.users.tolist())) == 12
    assert in_choosing_half(found.users).all()
    assert set((found.users // 40).tolist()) < {0, 1, 2}
    for row, user in enumerate(found.users.tolist()):
        assert found.liked.of(row).tolist() == sorted(run.liked[user].tolist())
        assert found.relevant.of(row).tolist() == sorted(run.held_out[user].tolist())


def test_the_second_table_is_of_users_on_whom_nothing_was_chosen(run: TasteRun, chosen: FoldingIn) -> None:
    opened = open_run(run.manifest_uri, run.embeddings_uri)
    met_by = np.bincount(run.liked.ravel(), minlength=ITEMS)
    found = judge_folded_in(opened, opened.item_vectors(), met_by, 10, 0)
    assert found["basis"] == "trained"
    assert found["users"] == 90 - chosen.users
    assert found["chosen_on"] == chosen.users
    assert list(found["by_interactions"]) == ["all", "10", "5", "3", "1"]
    figures = {name: each["metrics"]["ndcg_at_10"] for name, each in found["by_interactions"].items()}
    assert figures["all"] == pytest.approx(figures["10"])  # histories are of ten items
    assert figures["1"] > 2 * found["popularity"]["metrics"]["ndcg_at_10"]
    assert found["ndcg_ratio"] == pytest.approx(figures["all"] / found["popularity"]["metrics"]["ndcg_at_10"])
    assert found["comparison"]["ndcg_at_10"]["low"] > 0
    assert found["own_vectors"]["metrics"]["ndcg_at_10"] > 0.2
    assert "segments" not in found["popularity"]
    json.dumps(found, allow_nan=False)


def test_nobody_to_judge_is_said(tmp_path: Path) -> None:
    run = write_taste_run(tmp_path, 1)
    chooses = bool(in_choosing_half(np.array([0]))[0])
    opened = open_run(run.manifest_uri, run.embeddings_uri)
    found = judge_folded_in(opened, opened.item_vectors(), np.ones(ITEMS, np.int64), 10, 0)
    assert found["users"] == (0 if chooses else 1)
    assert ("why" in found) == chooses


def test_the_table_of_trials_is_of_long_and_short_histories(run: TasteRun) -> None:
    opened = open_run(run.manifest_uri, run.embeddings_uri)
    sample = trained_users(opened, 30, np.random.default_rng(0), choosing=False)
    fold_in = open_fold_in(opened, FoldingIn())
    found = choose_on(
        fold_in, sample.liked, sample.seen, sample.relevant, Basis.TRAINED, np.random.default_rng(0),
        (1.0, 1e6), (0.1,),
    )  # fmt: skip
    assert sample.liked.counts().tolist() == [HISTORY] * 30
    assert [trial.regularization for trial in found.trials] == [1.0, 1e6]
    # With a million nothing is learned from a history.
    assert found.regularization == 1
    assert found.trials[0].ndcg_at_10_of_5 > found.trials[1].ndcg_at_10_of_5


def test_users_left_out_choose_judge_and_get_lists_of_their_own(tmp_path: Path) -> None:
    run = write_taste_run(tmp_path, 120, label={"left_out_users": 0.4, "seed": 2})
    opened = open_run(run.manifest_uri, run.embeddings_uri)
    out = np.flatnonzero(left_out(np.arange(120), 0.4, 2))
    assert opened.left_out(0, 120).tolist() == out.tolist()
    assert opened.left_out(40, 80).tolist() == [user for user in out.tolist() if 40 <= user < 80]
    before = [opened.query_vectors(part) for part in opened.query_parts]

    chosen = choose_and_store(run.manifest_uri, run.embeddings_uri)

    assert (chosen.basis, chosen.users) == (Basis.LEFT_OUT, len(out))
    fold_in = open_fold_in(opened, chosen)
    for part, queries in zip(opened.query_parts, before, strict=True):
        now, offsets = opened.query_vectors(part), opened.offsets(part)
        for row, user in enumerate(range(part.first_user, part.end_user)):
            if user in out:
                assert now[row, :-1] == pytest.approx(fold_in.user_vector(run.liked[user]), abs=2e-2)
                assert now[row, -1] == 1
                assert offsets[row] == BIAS
            else:
                assert now[row].tolist() == queries[row].tolist()
    met_by = np.bincount(run.liked.ravel(), minlength=ITEMS)
    found = judge_folded_in(opened, opened.item_vectors(), met_by, 10, 0)
    assert (found["basis"], found["users"]) == ("left-out", len(out))
    assert "own_vectors" not in found
    assert found["ndcg_ratio"] > 1.5
    others = trained_users(opened, 200, np.random.default_rng(0), choosing=False).users
    assert not set(others.tolist()) & set(out.tolist())


def test_no_more_users_are_left_out_than_can_be_folded_in() -> None:
    assert share_left_out(0.2, 1000, 500) == 0.2
    assert share_left_out(0.2, 1_000_000, 500) == 0.02
    assert share_left_out(0.2, 1_000_000, 1_000_000) == 0.002
