import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.dataset import Dataset
from fmrec.dataset.hashing import left_out
from fmrec.encoding import split_and_label
from fmrec.encoding.negatives import ItemRange
from fmrec.encoding.pairs import Pairs
from fmrec.encoding.row_types import COPY, IndexedRows, LabelledRows
from fmrec.encoding.split_and_label import label_rows, split_rows
from fmrec.encoding.tally import Tally
from tests.unit.encoding.stage_rows import indexed

ITEMS = ItemRange(100, 112)
SPLITS: list[dict[str, Any]] = [
    {"method": "leave-first-n", "n": 2},
    {"method": "leave-last-n", "n": 1},
    {"method": "time-cut", "at": 50},
    {"method": "random", "share": 0.4, "seed": 3},
    {"method": "none"},
]
rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(100, 111), st.integers(1, 5), st.integers(0, 99)), max_size=60
)


@dataclass(frozen=True)
class Labelled:
    """Everything that a bucket becomes."""

    train: LabelledRows
    test: LabelledRows
    seen: Pairs
    heldout: Pairs
    tally: Tally


def decide(rows: IndexedRows, dataset: Dataset, items: ItemRange) -> Labelled:
    tally = Tally()
    split = split_rows(rows, dataset, tally)
    found: dict[str, list[LabelledRows]] = {"train": [], "test": []}
    for channel, labelled in label_rows(split, dataset, items, tally):
        found[channel].append(labelled)
    train, test = (LabelledRows.concatenate(found[channel]) for channel in ("train", "test"))
    return Labelled(train, test, split.seen, split.heldout, tally)


def dataset(**document: Any) -> Dataset:
    return Dataset.from_document(document)


def pairs(batch: IndexedRows | LabelledRows) -> list[tuple[int, int]]:
    return list(zip(batch.user.tolist(), batch.item.tolist(), strict=True))


@settings(deadline=None)
@given(rows, st.sampled_from(SPLITS), st.randoms(use_true_random=False))
def test_every_row_lands_on_one_side_whatever_order_rows_arrive_in(
    found: list[tuple[int, int, int, int]], split: dict[str, Any], random: Any
) -> None:
    whole = indexed(found)
    decided = decide(whole, dataset(split=split), ITEMS)
    rows_of = [side.sort_key.tolist() for side in (decided.train, decided.test)]
    assert sorted(rows_of[0] + rows_of[1]) == list(range(len(found)))
    order = list(range(len(found)))
    random.shuffle(order)
    again = decide(whole.take(np.array(order, np.int64)), dataset(split=split), ITEMS)
    assert [side.sort_key.tolist() for side in (again.train, again.test)] == rows_of
    for found_pairs, side in ((decided.seen, decided.train), (decided.heldout, decided.test)):
        together = list(zip(found_pairs.user, found_pairs.item, strict=True))
        assert together == sorted(set(pairs(side)))


@settings(deadline=None)
@given(rows, st.sampled_from(SPLITS), st.sampled_from(["binary", "implicit"]))
def test_rows_to_choose_hyperparameters_by_are_cut_from_training_rows_and_test_rows_are_dropped(
    found: list[tuple[int, int, int, int]], split: dict[str, Any], mode: str
) -> None:
    label = {"mode": mode} if mode == "binary" else {"mode": mode, "negatives_per_positive": 0}
    usual = decide(indexed(found), dataset(split=split, label=label), ITEMS)
    tuning = decide(indexed(found), dataset(split=split, label=label, validation=True), ITEMS)

    # As sets: an implicit weight repeats training rows.
    assert {*tuning.train.sort_key, *tuning.test.sort_key} == {*usual.train.sort_key}
    assert not {*tuning.train.sort_key} & {*tuning.test.sort_key}
    assert tuning.tally.dropped["held out for test"] == len(usual.test)
    assert not set(zip(tuning.heldout.user, tuning.heldout.item, strict=True)) - set(
        zip(usual.seen.user, usual.seen.item, strict=True)
    )


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split["method"])
def test_every_way_of_splitting_leaves_rows_to_choose_hyperparameters_by(split: dict[str, Any]) -> None:
    found = [(user, 100 + place, 5, 10 * place) for user in range(20) for place in range(12)]
    tuning = decide(indexed(found), dataset(split=split, validation=True), ITEMS)

    assert len(tuning.test) > 0
    assert len(tuning.train) > len(tuning.test)


@settings(deadline=None)
@given(rows)
def test_leave_first_n_holds_out_each_users_first_rows(found: list[tuple[int, int, int, int]]) -> None:
    decided = decide(indexed(found), dataset(split={"method": "leave-first-n", "n": 2}), ITEMS)
    for user in {row[0] for row in found}:
        mine = [at for at, row in enumerate(found) if row[0] == user]
        assert sorted(decided.test.sort_key[decided.test.user == user].tolist()) == mine[:2]


@settings(deadline=None)
@given(rows)
def test_leave_last_n_holds_out_each_users_latest_rows(found: list[tuple[int, int, int, int]]) -> None:
    decided = decide(indexed(found), dataset(split={"method": "leave-last-n", "n": 1}), ITEMS)
    for user in {row[0] for row in found}:
        latest = max((row[3], at) for at, row in enumerate(found) if row[0] == user)[1]
        assert decided.test.sort_key[decided.test.user == user].tolist() == [latest]


def test_a_time_cut_holds_out_what_came_later() -> None:
    decided = decide(
        indexed([(0, 100, 5, 49), (0, 101, 5, 50), (1, 100, 5, 51)]), dataset(split=SPLITS[2]), ITEMS
    )
    assert decided.train.sort_key.tolist() == [0]
    assert decided.test.sort_key.tolist() == [1, 2]


def test_a_random_split_holds_out_about_its_share_and_keeps_pairs_together() -> None:
    found = [(user, item, 5, 0) for user in range(200) for item in range(100, 112)] * 2
    decided = decide(indexed(found), dataset(split=SPLITS[3]), ITEMS)
    assert len(decided.test) / len(found) == pytest.approx(0.4, abs=0.03)
    assert not set(pairs(decided.train)) & set(pairs(decided.test))


def test_binary_labels_are_one_from_the_threshold_on() -> None:
    decided = decide(
        indexed([(0, 100, 3, 0), (0, 101, 4, 0), (0, 102, 5, 0)]), dataset(split={"method": "none"}), ITEMS
    )
    assert decided.train.label.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("policy", "expected", "dropped"),
    [
        ("all", [(0, 1), (1, 2), (2, 4), (3, 3)], 0),
        ("keep-last", [(0, 1), (1, 2), (3, 3)], 1),
        ("sum", [(0, 5), (1, 2), (3, 3)], 1),
    ],
)
def test_duplicates_are_kept_or_reduced_to_the_latest(
    policy: str, expected: list[tuple[int, float]], dropped: int
) -> None:
    found = [(0, 100, 1, 9), (0, 101, 2, 0), (0, 100, 4, 1), (1, 100, 3, 0)]
    document = dataset(label={"mode": "regression"}, split={"method": "none"}, duplicates=policy)
    decided = decide(indexed(found), document, ITEMS)
    assert list(zip(decided.train.sort_key.tolist(), decided.train.label.tolist(), strict=True)) == expected
    assert decided.tally.dropped["duplicate of a later interaction"] == dropped


implicit = {"mode": "implicit", "negatives_per_positive": 3}


@settings(deadline=None)
@given(rows, st.sampled_from(["uniform", "popularity"]), st.sampled_from(SPLITS))
def test_negatives_are_items_that_the_user_never_met(
    found: list[tuple[int, int, int, int]], sampling: str, split: dict[str, Any]
) -> None:
    whole = indexed(found).with_(value=np.ones(len(found)))
    document = dataset(label=implicit | {"sampling": sampling}, split=split)
    decided = decide(whole, document, ItemRange(100, 112, sampling == "popularity"))
    met = set(pairs(whole))
    in_train = set(zip(decided.seen.user.tolist(), decided.seen.item.tolist(), strict=True))
    for side, name, known in ((decided.train, "train", in_train), (decided.test, "test", met)):
        negative = side.label == 0
        assert side.is_negative.tolist() == negative.tolist()
        assert not known & set(pairs(side.take(negative)))
        assert set(pairs(side.take(~negative))) <= met
        assert ((side.item >= 100) & (side.item < 112)).all()
        # Only who has met every item gets none.
        full = {user for user in range(5) if sum(pair[0] == user for pair in known) == 12}
        expected = sum(3 for user in side.user[~negative].tolist() if user not in full)
        assert decided.tally.channel(name).negatives == negative.sum() == expected


def test_what_is_held_out_is_a_negative_in_train_as_often_as_any_other_item() -> None:
    found = [(user, 100 + at, 1, at) for user in range(500) for at in range(6)]
    document = dataset(label=implicit, split={"method": "leave-first-n", "n": 3})
    train = decide(indexed(found), document, ItemRange(100, 112)).train
    counts = np.bincount(train.item[train.label == 0] - 100, minlength=12)
    assert (counts[3:6] == 0).all(), "met in train"
    assert counts.sum() == 500 * 3 * 3
    assert np.abs(counts[[0, 1, 2, 6, 7, 8, 9, 10, 11]] - 500).max() < 110, "held out, or never met"


def test_uniform_negatives_are_spread_evenly_and_popular_ones_by_popularity() -> None:
    found = [(user, 100, 1, 0) for user in range(900)] + [(user, 101, 1, 0) for user in range(1000, 1100)]
    counts = {}
    for sampling in ("uniform", "popularity"):
        document = dataset(label=implicit | {"sampling": sampling}, split={"method": "none"})
        train = decide(indexed(found), document, ItemRange(100, 112, sampling == "popularity")).train
        negatives = train.take((train.label == 0) & (train.user >= 1000))
        counts[sampling] = np.bincount(negatives.item - 100, minlength=12)
    assert counts["uniform"][1] == counts["popularity"][1] == 0
    assert counts["popularity"][0] == 300
    assert counts["uniform"].sum() == 300
    assert counts["uniform"][[0, *range(2, 12)]].min() > 10


def test_weights_repeat_training_rows_and_fractions_are_a_chance() -> None:
    found = [(0, 100 + at % 12, 0, at) for at in range(2000)]
    whole = indexed(found).with_(value=np.tile([0.25, 2.0, 0.0, 1.0], 500))
    label = {"mode": "implicit", "negatives_per_positive": 0}
    decided = decide(whole, dataset(label=label, split={"method": "none"}), ITEMS)
    copies = np.bincount(decided.train.sort_key, minlength=2000).reshape(-1, 4)
    assert (copies[:, 1:] == [2, 0, 1]).all()
    assert copies[:, 0].max() == 1
    assert copies[:, 0].mean() == pytest.approx(0.25, abs=0.06)
    assert decided.tally.train.repeated == 500
    assert decided.tally.dropped["met, but not picked"] == (copies == 0).sum()


@pytest.mark.parametrize(
    "label", [{"mode": "binary", "threshold": 4}, {"mode": "regression", "threshold": 4}]
)
def test_pairs_tell_who_liked_what_and_the_last_value_as_read(label: dict[str, Any]) -> None:
    found = [(0, 100, 5, 1), (0, 101, 3, 2), (0, 102, 4, 3), (0, 102, 1, 4), (1, 103, 2, 5), (1, 104, 4, 6)]
    decided = decide(indexed(found), dataset(label=label, split={"method": "leave-first-n", "n": 1}), ITEMS)
    assert decided.heldout.item.tolist() == [100, 103]
    assert decided.heldout.relevant.tolist() == [True, False]
    assert decided.heldout.value.tolist() == [5, 2]
    assert decided.seen.item.tolist() == [101, 102, 104]
    assert decided.seen.relevant.tolist() == [False, True, True]
    assert decided.seen.value.tolist() == [3, 1, 4]


def test_under_implicit_feedback_pairs_keep_what_was_met_but_not_picked() -> None:
    whole = indexed([(0, 100 + at, 0, at) for at in range(5)]).with_(value=np.array([1.0, 0, 2, 0, 0.5]))
    decided = decide(whole, dataset(label=implicit, split={"method": "leave-first-n", "n": 2}), ITEMS)
    assert decided.heldout.relevant.tolist() == [True, False]
    assert np.isnan(decided.heldout.value).all()
    assert decided.seen.item.tolist() == [102, 103, 104]
    assert decided.seen.relevant.tolist() == [True, False, True]


def test_each_copy_of_the_positives_has_negatives_and_a_place_of_its_own() -> None:
    found = [(user, 100 + user % 3, 1, 0) for user in range(300)]
    label = implicit | {"copies": 4}
    decided = decide(indexed(found), dataset(label=label, split={"method": "none"}), ITEMS)
    train = decided.train
    positives = train.take(train.label == 1)
    assert sorted(pairs(positives)) == sorted(4 * pairs(indexed(found)))
    assert len(set(positives.sort_key.tolist())) == 4 * 300
    negatives = train.take(train.label == 0)
    assert len(negatives) == decided.tally.train.negatives == 4 * 3 * 300
    assert decided.tally.train.encoded == 300
    assert decided.tally.train.repeated == 3 * 300
    of_copy = [tuple(negatives.item[negatives.sort_key // COPY == copy].tolist()) for copy in range(4)]
    assert len(set(of_copy)) == 4


@pytest.mark.parametrize(("full", "of_many"), [(20, 4), (5, 2), (1, 1), (80, 8), (None, 8)])
@pytest.mark.parametrize("models", [1, 2])
def test_a_pick_of_a_user_with_many_is_in_some_copies_of_each_model_only(
    full: int | None, of_many: int, models: int
) -> None:
    items = ItemRange(100, 300)
    found = [(0, 100 + at, 1, at) for at in range(80)] + [(1, 100, 1, 0)]
    label = implicit | {"copies": 8, "models": models, "full_weight_picks": full}
    whole = dataset(label=label, split={"method": "none"})
    decided = decide(indexed(found), whole, items)
    positives = decided.train.take(decided.train.label == 1)
    copy, row = positives.sort_key // COPY, positives.sort_key % COPY
    for model in range(models):
        # Each of 80 picks in a share √(full / 80) of the copies, 1/8 at least; an only one in all.
        times = np.bincount(row[copy // 8 == model], minlength=81)
        assert times.tolist() == [of_many] * 80 + [8]
    in_copy = np.bincount(copy[row < 80], minlength=8 * models)
    # They take turns: no copy has all or none of them.
    assert abs(in_copy - 10 * of_many).max() <= 25
    assert len(np.unique(copy * 1000 + row)) == len(positives)
    written = models * (80 * of_many + 8)
    assert len(positives) == written
    assert len(decided.train) - written == decided.tally.train.negatives == 3 * written
    assert (decided.tally.train.encoded, decided.tally.train.repeated) == (81, written - 81)
    assert decided.tally.train.thinned == models * 80 * (8 - of_many)
    assert len(decided.seen) == 81


def test_nothing_is_thinned_in_one_copy_or_where_rows_are_held_out() -> None:
    found = [(0, 100 + at, 1, at) for at in range(80)]
    items = ItemRange(100, 300)
    held_out: dict[str, Any] = {"method": "leave-first-n", "n": 40}
    for copies in (1, 4):
        label = implicit | {"copies": copies, "full_weight_picks": 10}
        decided = decide(indexed(found), dataset(label=label, split=held_out), items)
        assert (decided.test.label == 1).sum() == 40
        # 40 picks are left in train: each in half of the copies.
        assert (decided.train.label == 1).sum() == 40 * max(1, copies // 2)
        assert decided.tally.train.thinned == (0 if copies == 1 else 80)
        assert decided.tally.test.thinned == 0


def test_held_out_rows_are_not_copied() -> None:
    label = implicit | {"copies": 4}
    found = [(0, 100 + at, 1, at) for at in range(6)]
    decided = decide(indexed(found), dataset(label=label, split={"method": "leave-first-n", "n": 2}), ITEMS)
    assert (decided.test.label == 1).sum() == 2
    assert (decided.test.label == 0).sum() == 6


@settings(deadline=None, max_examples=40)
@given(rows, st.integers(1, 40), st.sampled_from(["uniform", "popularity"]), st.integers(1, 3))
def test_records_are_the_same_however_few_are_made_at_once(
    found: list[tuple[int, int, int, int]], records: int, sampling: str, copies: int
) -> None:
    weights = np.array([row[2] / 2 for row in found])
    label = implicit | {"sampling": sampling, "copies": copies}
    document = dataset(label=label, split=SPLITS[3])
    items = ItemRange(100, 112, sampling == "popularity")
    whole = decide(indexed(found).with_(value=weights), document, items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_and_label, "CHUNK_RECORDS", records)
        cut = decide(indexed(found).with_(value=weights), document, items)
    assert cut.tally == whole.tally

    def records_of(rows: LabelledRows) -> list[tuple[Any, ...]]:
        return sorted(zip(*(part.tolist() for part in (rows.sort_key, rows.user, rows.item, rows.label)), strict=True))  # fmt: skip

    for channel in ("train", "test"):
        assert records_of(getattr(cut, channel)) == records_of(getattr(whole, channel))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("negatives", "weight", "copies"), [(1000, 1, 1), (4, 1000, 1), (10, 10, 100), (0, 1000, 10)]
)
def test_memory_is_bounded_however_many_records_a_row_makes(
    negatives: int, weight: float, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_and_label, "CHUNK_RECORDS", 20_000)
    found = [(user, 100 + user % 5, 1, 0) for user in range(500)]
    label = {"mode": "implicit", "negatives_per_positive": negatives, "copies": copies}
    document = dataset(label=label, split={"method": "none"})
    tally = Tally()
    split = split_rows(indexed(found).with_(value=np.full(500, float(weight))), document, tally)
    tracemalloc.start()
    count = sum(len(rows) for _, rows in label_rows(split, document, ItemRange(100, 5000), tally))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == tally.train.records == 500 * int(weight) * copies * (1 + negatives) >= 500_000
    assert peak < 20_000 * 200


def test_users_left_out_are_not_trained_on_and_their_interactions_stay_known() -> None:
    found = [
        (user, 100 + place, 5 if place % 3 else 1, 10 * place) for user in range(60) for place in range(8)
    ]
    document = {
        "label": {"mode": "implicit", "threshold": 4, "negatives_per_positive": 2, "seed": 3},
        "split": {"method": "leave-last-n", "n": 2},
    }
    usual = decide(indexed(found), dataset(**document), ITEMS)
    tally = Tally()
    split = split_rows(indexed(found), dataset(**document), tally, 0.3)
    out = np.flatnonzero(left_out(np.arange(60), 0.3, 3))
    assert 8 < len(out) < 30
    assert set(split.train.user.tolist()) == set(range(60)) - set(out.tolist())
    assert set(split.test.user.tolist()) == set(split.train.user.tolist())
    assert tally.dropped["user left out of training"] == 8 * len(out)
    # What they did is masked and judged as everybody's.
    assert pairs_of(split.seen) == pairs_of(usual.seen)
    assert pairs_of(split.heldout) == pairs_of(usual.heldout)
    assert set(split.trained.user.tolist()) == set(split.train.user.tolist())
    by_channel = list(label_rows(split, dataset(**document), ITEMS, tally))
    labelled = LabelledRows.concatenate([rows for channel, rows in by_channel if channel == "train"])
    assert not set(labelled.user.tolist()) & set(out.tolist())
    kept = ~np.isin(usual.train.user, out)
    assert (labelled.label == 1).sum() == (usual.train.label[kept] == 1).sum()
    # All users' rows are either trained on, held out or dropped.
    dropped = sum(tally.dropped.values())
    assert tally.train.encoded + tally.test.encoded + dropped == len(found)


def test_explicit_labels_leave_nobody_out() -> None:
    found = [(user, 100 + place, 5, place) for user in range(30) for place in range(4)]
    split = split_rows(indexed(found), dataset(split={"method": "none"}), Tally(), 0.5)
    assert len(split.train) == len(found)


def pairs_of(found: Pairs) -> list[tuple[int, int]]:
    return list(zip(found.user.tolist(), found.item.tolist(), strict=True))
