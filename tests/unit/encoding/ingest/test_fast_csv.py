"""Plain lines as whole columns: surely good ones are typed, all others left to the JVM."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fmrec.dataset import Dataset
from fmrec.encoding.ingest.chunks import UNDECIDED
from fmrec.encoding.ingest.delimited import Marks
from fmrec.encoding.ingest.fast_csv import PlainLines
from fmrec.encoding.ingest.layouts import Layout, Layouts
from fmrec.encoding.ingest.source_rows import FILE, LINE, POSITION, RAW, START
from fmrec.encoding.ingest.validation import GOOD, NO_ROW, STATE
from fmrec.encoding.packed_arrays import pack, unpack
from fmrec.encoding.sorting import in_order

HEADER = "user_id,item_id,rating,timestamp"
TEXTS = {"user": "user", "item": "item"}
COMMAS = Marks(",", '"')
LAYOUT = Layout(4, {"user": 0, "item": 1, "value": 2, "timestamp": 3}, HEADER)


def take(
    lines: list[bytes],
    layout: Layout = LAYOUT,
    marks: Marks = COMMAS,
    encoding: str = "utf-8",
    **document: Any,
) -> pa.RecordBatch:
    plain = PlainLines.of(Layouts(marks, encoding, (layout,)), Dataset.from_document(document), TEXTS)
    assert plain is not None
    texts = pa.array(lines, pa.binary())
    offsets, data = texts.buffers()[1:]
    columns = {LINE: pa.StringArray.from_buffers(len(lines), offsets, data)}  # not validated, as from Spark
    numbers = pa.array(np.arange(len(lines)))
    return plain(pa.RecordBatch.from_pydict(columns | dict.fromkeys((FILE, START, POSITION), numbers)))


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (b"1,2,3,4", GOOD),
        (b" 1,caf\xc3\xa9,-3.5e0,4.5", GOOD),
        (b'"1","2","3","4"', GOOD),
        (b'"1,5","say ""hi""", +3 ,4.', GOOD),
        (HEADER.encode(), NO_ROW),
        (b"", NO_ROW),
        (b"  ", NO_ROW),
        *[
            (line, UNDECIDED)
            for line in (
                b"1,2,3", b"1,2,3,4,5", b'"1"x,2,3,4', b'"1,2,3,4', b'1"x",2,3,4', b",2,3,4", b"1,  ,3,4", b"1,2,,4", b"1,2,3 3,4", b"1,2,4f,4",
                b"1,2,NaN,4", b"1,2,inf,4", b"1,2,1e39,4", b"1,2,3,", b"1,2,3,881250949000", b"1,2,3,-5",
                b"u" * 257 + b",2,3,4", b"caf\xe9,2,3,4", b"1,2,0x1,4",
            )
        ],
    ],
)  # fmt: skip
def test_only_what_is_surely_good_is_decided_about(line: bytes, state: int) -> None:
    found = take([b"7,8,1.5,9", line, b"8,9,2.5,10"])
    assert found.column(STATE).to_pylist() == [GOOD, state, GOOD]
    assert found.column("user").take([0, 2]).to_pylist() == ["7", "8"]
    assert found.column("item").take([0, 2]).to_pylist() == ["8", "9"]
    assert found.column("value").take([0, 2]).to_pylist() == [1.5, 2.5]
    assert found.column("timestamp").take([0, 2]).to_pylist() == [9.0, 10.0]
    raw = found.column(RAW).cast(pa.binary()).to_pylist()
    assert raw == [None, line if state == UNDECIDED else None, None]


def test_fields_that_are_not_taken_are_left_and_milliseconds_are_seconds() -> None:
    layout = Layout(4, {"user": 3, "item": 0, "timestamp": 2})
    found = take(
        [b'i"1::x::1500::u1'], layout, Marks("::"), interactions={"timestamp_format": "milliseconds"}
    )
    assert found.column(STATE).to_pylist() == [GOOD]
    assert [found.column(name)[0].as_py() for name in ("user", "item", "timestamp")] == ["u1", 'i"1', 1.5]


def test_implicit_feedback_weighs_values_by_event_and_threshold() -> None:
    layout = Layout(4, {"user": 0, "item": 1, "value": 2, "event": 3})
    lines = [b"1,2,5,buy", b"1,2,3,buy", b"1,2,5,view", b"1,2,5,scroll"]
    label = {"mode": "implicit", "threshold": 4, "event_weights": {"buy": 3, "view": 0.5}}
    interactions = {"columns": {role: role for role in layout.taken}}
    found = take(lines, layout, label=label, interactions=interactions)
    assert found.column("value").to_pylist() == [3.0, 0.0, 0.5, 0.0]


def test_what_only_the_jvm_can_read_is_not_taken() -> None:
    iso = Dataset.from_document({"interactions": {"timestamp_format": "iso8601"}})
    layouts = Layouts(COMMAS, "utf-8", (LAYOUT,))
    assert PlainLines.of(layouts, iso, TEXTS) is None
    assert PlainLines.of(None, Dataset.from_document({}), TEXTS) is None
    assert PlainLines.of(layouts, Dataset.from_document({}), TEXTS | {"_text_2": "date part"}) is None


numbers = st.one_of(
    hnp.arrays(np.int64, st.integers(0, 6)),
    hnp.arrays(np.int64, st.integers(0, 6), elements=st.integers(-3, 300)),
    hnp.arrays(np.float64, st.integers(0, 6)),
    hnp.arrays(
        np.float64, st.integers(0, 6), elements=st.sampled_from([0.0, -0.0, 1.0, 0.5, np.nan, -np.inf])
    ),
    hnp.arrays(np.float32, st.integers(0, 6)),
)


@given(st.lists(numbers, max_size=4))
def test_arrays_are_packed_to_the_last_bit(arrays: list[Any]) -> None:
    again = unpack(pack(arrays))
    assert [array.dtype for array in again] == [array.dtype for array in arrays]
    assert [array.tobytes() for array in again] == [array.tobytes() for array in arrays]


def test_arrays_take_as_many_bytes_as_their_numbers_span() -> None:
    empty = len(pack([np.zeros(800, np.int64)]))
    spans = [np.arange(800) + (1 << 40), np.arange(800) * 70_000, np.tile([0.5, 4.5], 400)]
    assert [len(pack([array])) - empty for array in spans] == [1600, 3200, 3200]


@given(st.data(), st.integers(0, 30))
def test_the_order_is_that_of_sorting_by_all_keys(data: Any, count: int) -> None:
    small = hnp.arrays(np.int64, count, elements=st.integers(-2, 2))
    whole = hnp.arrays(np.float64, count, elements=st.integers(-2, 2).map(float))
    keys = data.draw(st.lists(st.one_of(small, whole, hnp.arrays(np.int64, count)), min_size=1, max_size=3))
    assert in_order(*keys).tolist() == np.lexsort(keys[::-1]).tolist()
