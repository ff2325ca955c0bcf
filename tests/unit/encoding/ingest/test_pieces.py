"""Files cut into ranges of bytes: whatever they hold and wherever they are cut, the lines stay the same."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fmrec.dataset import Dataset
from fmrec.encoding.ingest import pieces, streams
from fmrec.encoding.ingest.delimited import Marks
from fmrec.encoding.ingest.fast_csv import PlainLines
from fmrec.encoding.ingest.files import InputFile
from fmrec.encoding.ingest.layouts import Layout, Layouts
from fmrec.encoding.ingest.line_fields import LINE
from fmrec.encoding.ingest.pieces import LINES, POSITION, START, Cut, FilePiece, cut_files, lines_in_range
from fmrec.encoding.ingest.source_rows import FILE, RAW
from fmrec.encoding.ingest.streams import Block, read_batches
from fmrec.encoding.ingest.validation import GOOD, STATE
from fmrec.storage import object_store

COMMAS = Marks(",", '"')
UTF8_LINES = Cut(LINES, "utf-8", COMMAS)
CONTENT = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"1,2", b'"', b"\xef\xbb\xbf", b"\xff"])
).map(b"".join)


def lines_of(path: Path | str, bounds: list[int], cut: Cut = UTF8_LINES) -> list[bytes]:
    ranges = [
        FilePiece(at, 0, "f", str(path), "", cut, end - start, start, end)
        for at, (start, end) in enumerate(itertools.pairwise(bounds))
    ]
    return [
        line for batch in read_batches(ranges) for line in batch.column(LINE).cast(pa.binary()).to_pylist()
    ]


@given(content=CONTENT, data=st.data())
def test_any_cut_of_any_bytes_gives_the_lines_of_one_range(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.csv"
    path.write_bytes(content)
    cuts = data.draw(st.lists(st.integers(0, len(content))))
    found = lines_of(path, sorted({0, *cuts, len(content)}))
    expected = (
        content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    )
    assert found == expected[: None if expected[-1] else -1]


@given(content=CONTENT, data=st.data(), block=st.integers(1, 7))
def test_blocks_of_any_size_give_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: Any, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "blocks.csv"
    path.write_bytes(content)
    half = data.draw(st.integers(0, len(content)))
    bounds = sorted({0, half, len(content)})
    expected = lines_of(path, bounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "BLOCK", block)
        patch.setattr(streams, "BLOCK", block)
        assert lines_of(path, bounds) == expected


@pytest.mark.slow
def test_objects_on_s3_are_cut_as_files_are(bucket: str, tmp_path: Path) -> None:
    content = b"".join(b"%d,%d\r\n" % (at, at * at) for at in range(300_000)) + b"last"
    path, uri = tmp_path / "r.csv", f"s3://{bucket}/r.csv"
    path.write_bytes(content)
    object_store.write_bytes(uri, content)
    bounds = [0, 1, 1_000_000, 1_000_003, 4_300_000, len(content)]
    assert lines_of(uri, bounds) == lines_of(path, bounds) == content.split(b"\r\n")


def test_a_range_reads_no_more_than_its_lines() -> None:
    raw: Any = io.BytesIO(b"one\n" * 1000)
    stream: io.BufferedReader = io.BufferedReader(raw, 16)
    assert b"".join(lines_in_range(stream, 2001, 2008)) == b"one\n" * 1
    assert b"".join(lines_in_range(stream, 2000, 2008)) == b"one\n" * 2
    assert raw.tell() <= 2008 + 16


def test_positions_grow_in_a_piece_and_differ_between_pieces(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(b"one\ntwo\nsix\nten\n")
    ranges = [FilePiece(at, 3, "r", str(path), "", UTF8_LINES, 8, 8 * at, 8 * at + 8) for at in (0, 1)]
    one, two = read_batches(ranges)
    assert [batch.column(LINE).to_pylist() for batch in (one, two)] == [["one", "two"], ["six", "ten"]]
    assert [batch.column(POSITION).to_pylist() for batch in (one, two)] == [[0, 1], [1 << 33, (1 << 33) + 1]]
    assert [batch.column(START).to_pylist() for batch in (one, two)] == [[0, 0], [8, 8]]
    assert one.column(FILE).to_pylist() == [3, 3]


def test_files_are_cut_into_as_many_tasks_as_are_wanted_and_small_ones_share_one() -> None:
    def tasks(*files: tuple[int, bool], minimum: int = 8) -> list[list[tuple[int, int, int | None]]]:
        named = [
            (at, InputFile(f"f{at}", f"/f{at}", b"x", size=size), UTF8_LINES, ranges)
            for at, (size, ranges) in enumerate(files)
        ]
        return [
            [(piece.file, piece.start >> 20, piece.end and piece.end >> 20) for piece in task]
            for task in cut_files(named, minimum)
        ]

    mib = 1 << 20
    assert tasks((60 * mib, True)) == [[(0, at, min(at + 8, 60))] for at in range(0, 60, 8)]
    assert tasks((2 * mib, True)) == [[(0, 0, 2)]]
    assert tasks((40 * mib, False)) == [[(0, 0, None)]]
    assert tasks((0, True)) == []
    many = tasks(*[(1000, True)] * 100)
    assert [file for task in many for file, _, _ in task] == list(range(100))
    assert [len(task) for task in many] == [13] * 7 + [9]
    # No task reads more than 128 MiB, however few are wanted.
    assert len(tasks((1000 * mib, True), minimum=1)) == 8


LAYOUT = Layout(4, {"user": 0, "item": 1, "value": 2, "timestamp": 3}, "u,i,v,t")
TEXTS = {"user": "user", "item": "item"}
FIELDS = st.sampled_from(
    [b"1", b"u1", b" 2", b"", b'"3"', b'"', b"nan", b"1e999", b"x,y", b"caf\xc3\xa9", b"\xe9"]
)
LINE_BYTES = st.one_of(
    st.tuples(FIELDS, FIELDS, FIELDS, FIELDS).map(b",".join),
    st.just(b"1,2,3,4"),
    st.sampled_from([b"", b"  ", b"u,i,v,t", b"#note", b"1,2,3", b"1,2,3,4\r"]),
)


def as_rows(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    rows = []
    state = batch.column(STATE).to_pylist()
    raw = batch.column(RAW).cast(pa.binary()).to_pylist()
    for at in range(len(batch)):
        provenance = [batch.column(name)[at].as_py() for name in (FILE, START, POSITION)]
        fields = ("user", "item", "value", "timestamp") if state[at] == GOOD else ()
        rows.append((state[at], raw[at], *provenance, *(batch.column(name)[at].as_py() for name in fields)))
    return rows


@pytest.mark.slow
@given(
    lines=st.lists(LINE_BYTES, min_size=1),
    encoding=st.sampled_from(["utf-8", "latin-1"]),
    missing=st.sampled_from([[], ["1"]]),
    comment=st.sampled_from(["", "#"]),
    small=st.sampled_from([1, 20, 1 << 16]),
)
@example(lines=[b"1,1,1,\xe9", b"1,caf\xc3\xa9,1,1"], encoding="utf-8", missing=[], comment="", small=1)
def test_blocks_mean_what_their_lines_mean(
    lines: list[bytes], encoding: str, missing: list[str], comment: str, small: int
) -> None:
    """The parser of whole blocks and the one of lines agree on which lines are good, and what is in them."""
    document: dict[str, Any] = {"interactions": {"missing": missing}}
    layouts = Layouts(COMMAS, encoding, (LAYOUT,), comment=comment)
    plain = PlainLines.of(layouts, Dataset.from_document(document), TEXTS)
    assert plain is not None
    data = np.frombuffer(b"".join(line + b"\n" for line in lines), np.uint8)
    piece = FilePiece(2, 0, "f", "/f", "", UTF8_LINES, 0, 7, None)
    block = Block(piece, piece.first_position, data, np.flatnonzero(data == ord("\n")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fmrec.encoding.ingest.fast_csv.SMALL_BLOCK", small)
        found = [row for batch in plain.of_block(block) for row in as_rows(batch)]
    expected = as_rows(plain(block.batch()))
    assert found == expected
