"""Records are in the order of training or testing whatever order rows arrive in, and hold all non-zeros."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.encoding import write_records
from fmrec.encoding.row_types import COPY, UNKNOWN, LabelledRows
from fmrec.encoding.shuffle.buckets import Buckets
from fmrec.encoding.shuffle.messages import Kind, Message
from fmrec.encoding.stored_parts import StoredPart
from fmrec.encoding.tally import Tally
from fmrec.encoding.write_records import RecordOrder, WriteRecords, to_sparse
from fmrec.recordio import decode
from fmrec.storage.part_files import open_output
from tests.unit.encoding.stage_rows import labelled, lists

ORDER = RecordOrder(5, Buckets(np.arange(4), 2), Buckets(np.array([0, 3]), 1))
keys = st.lists(
    st.tuples(st.integers(0, 5), st.integers(6, 9), st.integers(0, 1), st.booleans()), max_size=30
)


def test_all_non_zeros_of_a_row_are_sorted_and_unknown_ids_left_out() -> None:
    rows = labelled([(1, 9, 1, False), (UNKNOWN, 9, 1, False)], [[(12, 0.5), (3, 0.25)], []])
    assert lists(to_sparse(rows)) == [[(1, 1), (3, 0.25), (9, 1), (12, 0.5)], [(9, 1)]]
    assert lists(to_sparse(labelled([(1, 9, 1, False)]))) == [[(1, 1), (9, 1)]]


@settings(deadline=None)
@given(keys, st.randoms(use_true_random=False), st.sampled_from(["train", "test"]))
def test_the_order_does_not_depend_on_how_rows_arrive(
    found: list[tuple[int, int, int, bool]], chance: object, channel: str
) -> None:
    rows = labelled(found).with_(sort_key=np.arange(len(found)) % 5)
    places = list(range(len(found)))
    chance.shuffle(places)  # type: ignore[attr-defined]
    shuffled = rows.take(np.array(places, np.int64))
    one, other = ORDER.sorted(rows, channel), ORDER.sorted(shuffled, channel)
    for name in ("user", "item", "sort_key"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    if channel == "test":
        assert one.user.tolist() == sorted(one.user.tolist())


def test_train_is_spread_over_its_buckets_in_the_order_of_records_and_test_by_user() -> None:
    rows = labelled([(at % 6, 6 + at % 4, 1, False) for at in range(200)])
    messages = list(ORDER(rows, Kind.TRAIN))
    assert [message.bucket for message in messages] == [0, 1, 2, 3]
    parts = [ORDER.sorted(LabelledRows.from_bytes(message.payload), "train") for message in messages]
    whole = ORDER.sorted(rows, "train")
    assert LabelledRows.concatenate(parts).sort_key.tolist() == whole.sort_key.tolist()
    assert min(len(part) for part in parts) > 30
    tested = list(ORDER(rows, Kind.TEST))
    assert [message.bucket for message in tested] == [4, 5]
    assert set(LabelledRows.from_bytes(tested[0].payload).user.tolist()) == {0, 1, 2}
    assert [ORDER.part(partition) for partition in range(3)] == [
        ("train", "00000"),
        ("train", "00001"),
        ("test", "00000"),
    ]


def test_each_model_has_parts_of_its_own_whose_names_begin_with_its_number() -> None:
    models, copies = 3, 2
    order = RecordOrder(5, Buckets(np.arange(12), 6), Buckets(np.array([0, 3]), 1), models, copies)
    found = labelled([(at % 6, 6 + at % 4, 1, False) for at in range(300)])
    rows = found.with_(sort_key=np.arange(300) + (np.arange(300) % 6) * COPY)
    models_of_buckets = []
    for message in order(rows, Kind.TRAIN):
        copy = LabelledRows.from_bytes(message.payload).sort_key // COPY
        (model,) = set((copy // copies).tolist())
        models_of_buckets.append((message.bucket, model))
    assert models_of_buckets == [(bucket, bucket // 4) for bucket in range(12)]
    names = [order.part(partition) for partition in range(7)]
    assert names == [("train", f"0{model}0000{part}") for model in (1, 2, 3) for part in (0, 1)] + [
        ("test", "00000")
    ]


@pytest.mark.parametrize(
    ("partition", "channel", "name"), [(1, "train", "part-00001.pbr"), (2, "test", "part-00000.pbr")]
)
def test_the_stage_stores_a_part_and_reports_it(
    partition: int, channel: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_records, "ENCODED_ROWS", 7)
    outputs = {key: open_output(str(tmp_path / key), overwrite=True) for key in ("train", "test")}
    stage = WriteRecords(ORDER, outputs, [], 20)
    kind = Kind.TRAIN if channel == "train" else Kind.TEST
    rows = labelled([(at % 3, 6 + at % 4, at % 2, False) for at in range(20)], [[(15, 0.5)]] * 20)
    report = Message.of_tally(Tally())
    halves = [Message(kind, 2, half.to_bytes()) for half in rows.cut(10)]
    found = list(stage([report, *halves], partition))
    assert [message.kind for message in found] == [Kind.TALLY, Kind.STORED_PART]
    stored = StoredPart.from_bytes(found[1].payload)
    assert (stored.output, stored.part.name, stored.rows, stored.nonzeros, stored.positives) == (
        channel, name, 20, 60, 10,
    )  # fmt: skip
    outputs[channel].commit([stored.part], overwrite=True)
    matrix, labels = decode((tmp_path / channel / name).read_bytes())
    expected = ORDER.sorted(rows, channel)
    assert labels is not None
    assert labels.tolist() == expected.label.tolist()
    assert matrix.indices.reshape(20, 3).tolist() == [
        [user, item, 15] for user, item in zip(expected.user.tolist(), expected.item.tolist(), strict=True)
    ]
    assert matrix.data.reshape(20, 3).tolist() == [[1, 1, 0.5]] * 20
