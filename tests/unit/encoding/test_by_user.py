from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.dataset import Dataset
from fmrec.encoding.batches import NEGATIVE, Batch, Ragged, by_key, hashes, units
from fmrec.encoding.by_user import COPY, decide
from fmrec.encoding.negatives import ItemRange

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


def batch(found: list[tuple[int, int, int, int]]) -> Batch:
    columns = np.array(found, np.int64).reshape(-1, 4).T
    return Batch(
        columns[0],
        columns[1],
        columns[2].astype(np.float64),
        columns[3].astype(np.float64),
        np.arange(len(found), dtype=np.int64),
        Ragged.empty(len(found)),
    )


def dataset(**document: Any) -> Dataset:
    return Dataset.from_document(document)


def pairs(batch: Batch) -> list[tuple[int, int]]:
    return list(zip(batch.user.tolist(), batch.item.tolist(), strict=True))


@settings(deadline=None)
@given(rows, st.sampled_from(SPLITS), st.randoms(use_true_random=False))
def test_every_row_lands_on_one_side_whatever_order_rows_arrive_in(
    found: list[tuple[int, int, int, int]], split: dict[str, Any], random: Any
) -> None:
    whole = batch(found)
    decided = decide(whole, dataset(split=split), ITEMS)
    rows_of = [side.row.tolist() for side in (decided.train, decided.test)]
    assert sorted(rows_of[0] + rows_of[1]) == list(range(len(found)))
    order = list(range(len(found)))
    random.shuffle(order)
    again = decide(whole.take(np.array(order, np.int64)), dataset(split=split), ITEMS)
    assert [side.row.tolist() for side in (again.train, again.test)] == rows_of
    for found_pairs, side in ((decided.seen, decided.train), (decided.heldout, decided.test)):
        together = list(zip(found_pairs.user, found_pairs.item, strict=True))
        assert together == sorted(set(pairs(side)))


@settings(deadline=None)
@given(rows, st.sampled_from(SPLITS), st.sampled_from(["binary", "implicit"]))
def test_rows_to_choose_hyperparameters_by_are_cut_from_training_rows_and_test_rows_are_dropped(
    found: list[tuple[int, int, int, int]], split: dict[str, Any], mode: str
) -> None:
    label = {"mode": mode} if mode == "binary" else {"mode": mode, "negatives_per_positive": 0}
    usual = decide(batch(found), dataset(split=split, label=label), ITEMS)
    tuning = decide(batch(found), dataset(split=split, label=label, validation=True), ITEMS)

    # As sets: an implicit weight repeats training rows.
    assert {*tuning.train.row, *tuning.test.row} == {*usual.train.row}
    assert not {*tuning.train.row} & {*tuning.test.row}
    assert tuning.tally["dropped held out for test"] == len(usual.test)
    assert not set(zip(tuning.heldout.user, tuning.heldout.item, strict=True)) - set(
        zip(usual.seen.user, usual.seen.item, strict=True)
    )


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split["method"])
def test_every_way_of_splitting_leaves_rows_to_choose_hyperparameters_by(split: dict[str, Any]) -> None:
    found = [(user, 100 + place, 5, 10 * place) for user in range(20) for place in range(12)]
    tuning = decide(batch(found), dataset(split=split, validation=True), ITEMS)

    assert len(tuning.test) > 0
    assert len(tuning.train) > len(tuning.test)


@settings(deadline=None)
@given(rows)
def test_leave_first_n_holds_out_each_users_first_rows(found: list[tuple[int, int, int, int]]) -> None:
    decided = decide(batch(found), dataset(split={"method": "leave-first-n", "n": 2}), ITEMS)
    for user in {row[0] for row in found}:
        mine = [at for at, row in enumerate(found) if row[0] == user]
        assert sorted(decided.test.row[decided.test.user == user].tolist()) == mine[:2]


@settings(deadline=None)
@given(rows)
def test_leave_last_n_holds_out_each_users_latest_rows(found: list[tuple[int, int, int, int]]) -> None:
    decided = decide(batch(found), dataset(split={"method": "leave-last-n", "n": 1}), ITEMS)
    for user in {row[0] for row in found}:
        latest = max((row[3], at) for at, row in enumerate(found) if row[0] == user)[1]
        assert decided.test.row[decided.test.user == user].tolist() == [latest]


def test_a_time_cut_holds_out_what_came_later() -> None:
    decided = decide(
        batch([(0, 100, 5, 49), (0, 101, 5, 50), (1, 100, 5, 51)]), dataset(split=SPLITS[2]), ITEMS
    )
    assert decided.train.row.tolist() == [0]
    assert decided.test.row.tolist() == [1, 2]


def test_a_random_split_holds_out_about_its_share_and_keeps_pairs_together() -> None:
    found = [(user, item, 5, 0) for user in range(200) for item in range(100, 112)] * 2
    decided = decide(batch(found), dataset(split=SPLITS[3]), ITEMS)
    assert len(decided.test) / len(found) == pytest.approx(0.4, abs=0.03)
    assert not set(pairs(decided.train)) & set(pairs(decided.test))


def test_binary_labels_are_one_from_the_threshold_on() -> None:
    decided = decide(
        batch([(0, 100, 3, 0), (0, 101, 4, 0), (0, 102, 5, 0)]), dataset(split={"method": "none"}), ITEMS
    )
    assert decided.train.value.tolist() == [0, 1, 1]


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
    decided = decide(batch(found), document, ITEMS)
    assert list(zip(decided.train.row.tolist(), decided.train.value.tolist(), strict=True)) == expected
    assert decided.tally["dropped duplicate of a later interaction"] == dropped


implicit = {"mode": "implicit", "negatives_per_positive": 3}


@settings(deadline=None)
@given(rows, st.sampled_from(["uniform", "popularity"]), st.sampled_from(SPLITS))
def test_negatives_are_items_that_the_user_never_met(
    found: list[tuple[int, int, int, int]], sampling: str, split: dict[str, Any]
) -> None:
    whole = batch(found).with_(value=np.ones(len(found)))
    document = dataset(label=implicit | {"sampling": sampling}, split=split)
    decided = decide(whole, document, ItemRange(100, 112, sampling == "popularity"))
    met = set(pairs(whole))
    in_train = set(zip(decided.seen.user.tolist(), decided.seen.item.tolist(), strict=True))
    for side, name, known in ((decided.train, "train", in_train), (decided.test, "test", met)):
        negative = side.value == 0
        assert (side.time[negative] == NEGATIVE).all()
        assert not known & set(pairs(side.take(negative)))
        assert set(pairs(side.take(~negative))) <= met
        assert ((side.item >= 100) & (side.item < 112)).all()
        # Only who has met every item gets none.
        full = {user for user in range(5) if sum(pair[0] == user for pair in known) == 12}
        expected = sum(3 for user in side.user[~negative].tolist() if user not in full)
        assert decided.tally[f"negatives {name}"] == negative.sum() == expected


def test_what_is_held_out_is_a_negative_in_train_as_often_as_any_other_item() -> None:
    found = [(user, 100 + at, 1, at) for user in range(500) for at in range(6)]
    document = dataset(label=implicit, split={"method": "leave-first-n", "n": 3})
    train = decide(batch(found), document, ItemRange(100, 112)).train
    counts = np.bincount(train.item[train.value == 0] - 100, minlength=12)
    assert (counts[3:6] == 0).all(), "met in train"
    assert counts.sum() == 500 * 3 * 3
    assert np.abs(counts[[0, 1, 2, 6, 7, 8, 9, 10, 11]] - 500).max() < 110, "held out, or never met"


def test_uniform_negatives_are_spread_evenly_and_popular_ones_by_popularity() -> None:
    found = [(user, 100, 1, 0) for user in range(900)] + [(user, 101, 1, 0) for user in range(1000, 1100)]
    counts = {}
    for sampling in ("uniform", "popularity"):
        document = dataset(label=implicit | {"sampling": sampling}, split={"method": "none"})
        train = decide(batch(found), document, ItemRange(100, 112, sampling == "popularity")).train
        negatives = train.take((train.value == 0) & (train.user >= 1000))
        counts[sampling] = np.bincount(negatives.item - 100, minlength=12)
    assert counts["uniform"][1] == counts["popularity"][1] == 0
    assert counts["popularity"][0] == 300
    assert counts["uniform"].sum() == 300
    assert counts["uniform"][[0, *range(2, 12)]].min() > 10


def test_weights_repeat_training_rows_and_fractions_are_a_chance() -> None:
    found = [(0, 100 + at % 12, 0, at) for at in range(2000)]
    whole = batch(found).with_(value=np.tile([0.25, 2.0, 0.0, 1.0], 500))
    label = {"mode": "implicit", "negatives_per_positive": 0}
    decided = decide(whole, dataset(label=label, split={"method": "none"}), ITEMS)
    copies = np.bincount(decided.train.row, minlength=2000).reshape(-1, 4)
    assert (copies[:, 1:] == [2, 0, 1]).all()
    assert copies[:, 0].max() == 1
    assert copies[:, 0].mean() == pytest.approx(0.25, abs=0.06)
    assert decided.tally["repeated train"] == 500
    assert decided.tally["dropped met, but not picked"] == (copies == 0).sum()


@pytest.mark.parametrize(
    "label", [{"mode": "binary", "threshold": 4}, {"mode": "regression", "threshold": 4}]
)
def test_pairs_tell_who_liked_what_and_the_last_value_as_read(label: dict[str, Any]) -> None:
    found = [(0, 100, 5, 1), (0, 101, 3, 2), (0, 102, 4, 3), (0, 102, 1, 4), (1, 103, 2, 5), (1, 104, 4, 6)]
    decided = decide(batch(found), dataset(label=label, split={"method": "leave-first-n", "n": 1}), ITEMS)
    assert decided.heldout.item.tolist() == [100, 103]
    assert decided.heldout.relevant.tolist() == [True, False]
    assert decided.heldout.value.tolist() == [5, 2]
    assert decided.seen.item.tolist() == [101, 102, 104]
    assert decided.seen.relevant.tolist() == [False, True, True]
    assert decided.seen.value.tolist() == [3, 1, 4]


def test_under_implicit_feedback_pairs_keep_what_was_met_but_not_picked() -> None:
    whole = batch([(0, 100 + at, 0, at) for at in range(5)]).with_(value=np.array([1.0, 0, 2, 0, 0.5]))
    decided = decide(whole, dataset(label=implicit, split={"method": "leave-first-n", "n": 2}), ITEMS)
    assert decided.heldout.relevant.tolist() == [True, False]
    assert np.isnan(decided.heldout.value).all()
    assert decided.seen.item.tolist() == [102, 103, 104]
    assert decided.seen.relevant.tolist() == [True, False, True]


def test_each_copy_of_the_positives_has_negatives_and_a_place_of_its_own() -> None:
    found = [(user, 100 + user % 3, 1, 0) for user in range(300)]
    label = implicit | {"copies": 4}
    decided = decide(batch(found), dataset(label=label, split={"method": "none"}), ITEMS)
    train = decided.train
    positives = train.take(train.value == 1)
    assert sorted(pairs(positives)) == sorted(4 * pairs(batch(found)))
    assert len(set(positives.row.tolist())) == 4 * 300
    negatives = train.take(train.value == 0)
    assert len(negatives) == decided.tally["negatives train"] == 4 * 3 * 300
    assert decided.tally["encoded train"] == 300
    assert decided.tally["repeated train"] == 3 * 300
    of_copy = [tuple(negatives.item[negatives.row // COPY == copy].tolist()) for copy in range(4)]
    assert len(set(of_copy)) == 4


def test_held_out_rows_are_not_copied() -> None:
    label = implicit | {"copies": 4}
    found = [(0, 100 + at, 1, at) for at in range(6)]
    decided = decide(batch(found), dataset(label=label, split={"method": "leave-first-n", "n": 2}), ITEMS)
    assert (decided.test.value == 1).sum() == 2
    assert (decided.test.value == 0).sum() == 6


def test_hashes_are_splitmix64_of_each_column_in_turn_and_well_mixed() -> None:
    def mixed(state: int) -> int:
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        return state ^ (state >> 31)

    gamma = 0x9E3779B97F4A7C15
    expected = [
        mixed((mixed((7 + first + gamma) % 2**64) + second + gamma) % 2**64)
        for first, second in ((1, 3), (2, 4))
    ]
    assert hashes(7, np.array([1, 2]), np.array([3, 4])).tolist() == expected
    assert mixed(gamma) == 0xE220A8397B1DCDAF  # the generator's published first output for seed 0
    shares = units(hashes(0, np.arange(100_000)))
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert np.histogram(shares, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), rel=0.05)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1, width=32)), max_size=3), max_size=8),
    st.data(),
)
def test_ragged_rows_are_taken_joined_and_packed_as_lists_are(
    found: list[list[tuple[int, float]]], data: Any
) -> None:
    def ragged(lists: list[list[tuple[int, float]]]) -> Ragged:
        flat = [entry for row in lists for entry in row]
        return Ragged(
            np.array([len(row) for row in lists], np.int64),
            np.array([entry[0] for entry in flat], np.int64),
            np.array([entry[1] for entry in flat], np.float32),
        )

    def lists(ragged: Ragged) -> list[list[tuple[int, float]]]:
        entries = iter(zip(ragged.columns.tolist(), ragged.values.tolist(), strict=True))
        return [[next(entries) for _ in range(length)] for length in ragged.lengths]

    places = data.draw(st.lists(st.integers(0, len(found) - 1), max_size=8)) if found else []
    assert lists(ragged(found).take(np.array(places, np.int64))) == [found[at] for at in places]
    assert lists(ragged(found).beside(ragged(found[::-1]))) == [
        left + right for left, right in zip(found, found[::-1], strict=True)
    ]
    assert [sorted(row, key=lambda entry: entry[0]) for row in found] == lists(ragged(found).sorted())
    count = len(found)
    zeros = np.zeros(count)
    whole = Batch(*(np.arange(count, dtype=np.int64),) * 2, zeros, zeros, np.arange(count), ragged(found))
    again = Batch.from_bytes(whole.to_bytes())
    assert again.row.tolist() == list(range(count))
    assert lists(again.extra) == found
    assert lists(Batch.concatenate([again, again]).extra) == found + found


def test_places_are_found_by_key_in_order() -> None:
    found = [(key, places.tolist()) for key, places in by_key(np.array([3, 1, 3, 2, 1]))]
    assert found == [(1, [1, 4]), (2, [3]), (3, [0, 2])]
    assert list(by_key(np.zeros(0, np.int64))) == []
