"""The stage that splits and labels, by the messages that it gets and passes on."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from fmrec.dataset import Dataset
from fmrec.encoding.negatives import ItemRange
from fmrec.encoding.pairs import unpack_ids
from fmrec.encoding.row_types import LabelledRows
from fmrec.encoding.shuffle.messages import Kind, Message
from fmrec.encoding.split_and_label import SplitAndLabel
from fmrec.encoding.stored_parts import StoredPart
from fmrec.encoding.tally import Tally
from fmrec.storage.part_files import open_output
from tests.unit.encoding.stage_rows import indexed


class Kept:
    """A route that keeps what it is given."""

    def __init__(self) -> None:
        self.rows: list[tuple[Kind, LabelledRows]] = []

    def __call__(self, rows: LabelledRows, kind: Kind) -> Iterator[Message]:
        self.rows.append((kind, rows))
        yield Message(kind, 0, rows.to_bytes())


def test_the_stage_stores_pairs_passes_reports_on_and_says_what_train_has_seen(tmp_path: Path) -> None:
    outputs = {
        name: open_output(str(tmp_path / name), overwrite=True, suffix=".parquet")
        for name in ("seen", "heldout")
    }
    stage = SplitAndLabel(
        Dataset.from_document({"split": {"method": "leave-last-n", "n": 1}}), ItemRange(100, 112), outputs["seen"], outputs["heldout"], Kept(), True
    )  # fmt: skip
    report = Message.of_tally(Tally())
    buckets = [[(0, 100, 5, 1), (0, 101, 3, 2)], [(1, 100, 4, 1), (1, 102, 1, 9), (1, 103, 5, 5)]]
    messages = [report] + [
        Message(Kind.ROWS, at, indexed(rows).to_bytes()) for at, rows in enumerate(buckets)
    ]
    found = list(stage(messages, 7))
    assert found[0] == report
    seen = [unpack_ids(message.payload) for message in found if message.kind == Kind.SEEN_IDS]
    assert [ids["user"].tolist() for ids in seen] == [[0], [1]]
    assert [ids["item"].tolist() for ids in seen] == [[100], [100, 103]]
    assert [message.bucket for message in found if message.kind == Kind.SEEN_IDS] == [0, 1]
    stored = [StoredPart.from_bytes(message.payload) for message in found if message.kind == Kind.STORED_PART]
    assert [(part.output, part.part.name, part.rows) for part in stored] == [
        ("seen", "part-00007.parquet", 3), ("heldout", "part-00007.parquet", 2),
    ]  # fmt: skip
    tally = Tally.from_json(found[-1].payload)
    assert (tally.train.encoded, tally.test.encoded) == (3, 2)
    for part in stored:
        outputs[part.output].commit([part.part], overwrite=True)
    table = pq.read_table(tmp_path / "heldout/part-00007.parquet")
    assert table.to_pydict() == {
        "user_column": [0, 1], "item_column": [101, 102], "value": [3, 1], "relevant": [False, False],
    }  # fmt: skip
