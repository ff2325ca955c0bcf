"""The held-out pairs with what batch transform says of them, block by block in constant memory.

A part ``test/part-00000.pbr`` is answered by ``part-00000.pbr.out``, one JSON object ``{"score": …}`` a line
in the order of the records; blank lines mean nothing (``AssembleWith: Line`` may add some).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fmrec.artifacts.encoded_run import folder_of
from fmrec.artifacts.manifest import Manifest
from fmrec.artifacts.transform_output import read_objects, whole_lines
from fmrec.dataset.section import is_number
from fmrec.errors import FormatError
from fmrec.recordio import Rows, read_rows
from fmrec.storage import object_store

BLOCK_BYTES = 4 << 20
"""Text parsed at a time: some 80,000 scores."""

NOBODY = -1
"""Stands for the column of a user or an item that a row doesn't name (``unknown: features-only``)."""

_SCHEMA = pa.schema([("score", pa.float64())])


@dataclass(frozen=True)
class Scored:
    """Consecutive held-out rows, all (rows,): columns of user and item or `NOBODY`, labels, scores."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Part:
    """One object of the test channel and the batch transform's answer to it."""

    manifest: Manifest
    uri: str
    scores_uri: str

    def blocks(self) -> Iterator[Scored]:
        """The part's rows, some ten thousands at a time.

        Raises
        ------
        InputError
            There is no answer.
        FormatError
            The records aren't those that the encoding writes, or the answer has another number of
            scores than there are records, or one that is no number.
        """
        with object_store.open_input(self.uri) as records, object_store.open_input(self.scores_uri) as text:
            scores = _Scores(text, self.scores_uri)
            for rows in read_rows(records):
                if rows.keys is None or rows.labels is None or rows.feature_dim != self.manifest.feature_dim:
                    raise FormatError(
                        f"{self.uri}: expected sparse records of {self.manifest.feature_dim} features with "
                        "labels, as manifest.json says: encode the data again"
                    )
                yield Scored(
                    columns_of(rows, *self.manifest.ranges["user"]),
                    columns_of(rows, *self.manifest.ranges["item"]),
                    rows.labels.astype(np.float64),
                    scores.take(len(rows)),
                )
            scores.finish()


def parts(manifest: Manifest, manifest_uri: str, scores_uri: str) -> list[Part]:
    """The test channel's objects in order, each with its answer.

    Parameters
    ----------
    scores_uri
        Folder of the batch transform's output.
    """
    channel = object_store.join(folder_of(manifest_uri), manifest.test.prefix)
    return [
        Part(manifest, found.uri, object_store.join(scores_uri, found.uri.rsplit("/", 1)[-1] + ".out"))
        for found in object_store.list_objects(channel)
    ]


def columns_of(rows: Rows, start: int, end: int) -> npt.NDArray[np.int64]:
    """Each row's column within ``[start, end)``, (rows,), or `NOBODY`."""
    found = np.full(len(rows), NOBODY, np.int64)
    if rows.keys is not None:
        inside = (rows.keys >= start) & (rows.keys < end)
        found[np.repeat(np.arange(len(rows)), rows.counts)[inside]] = rows.keys[inside]
    return found


def read_scores(stream: BinaryIO, source: str) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the scores of an answer of batch transform, a block of lines at a time.

    Raises
    ------
    FormatError
        A line is no JSON object with a finite number as ``score``; names the line.
    """
    line = 1
    for text in whole_lines(stream, BLOCK_BYTES):
        if text.strip():
            yield _parse(text, source, line)
        line += text.count(b"\n")


class _Scores:
    """Hands out consecutive scores in the amounts asked for."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._source = source
        self._blocks = read_scores(stream, source)
        self._held = np.zeros(0)
        self._taken = 0

    def take(self, count: int) -> npt.NDArray[np.float64]:
        held = [self._held]
        have = len(self._held)
        while have < count:
            block = next(self._blocks, None)
            if block is None:
                raise FormatError(
                    f"{self._source} has {self._taken + have} scores, fewer than its part has records: the "
                    "batch transform didn't finish, or is of another run"
                )
            held.append(block)
            have += len(block)
        joined = np.concatenate(held)
        self._held = joined[count:]
        self._taken += count
        return joined[:count]

    def finish(self) -> None:
        if len(self._held) or next(self._blocks, None) is not None:
            raise FormatError(
                f"{self._source} has more than the {self._taken} scores that its part has records: it is of "
                "another run"
            )


def _parse(text: bytes, source: str, first_line: int) -> npt.NDArray[np.float64]:
    try:
        table = read_objects(text, _SCHEMA)
    except pa.ArrowInvalid as error:
        _refuse(text, source, first_line)
        raise FormatError(f"{source}, from line {first_line}: can't be read as scores: {error}") from error
    column = table["score"].combine_chunks()
    # One object a line, or the rows' order is lost: Arrow itself would take several on one line.
    lines = sum(1 for row in text.split(b"\n") if row.strip())
    scores: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    if column.null_count or len(scores) != lines or not np.isfinite(scores).all():
        _refuse(text, source, first_line)
        raise FormatError(f"{source}, from line {first_line}: expected one score a line")
    return scores


def _refuse(text: bytes, source: str, first_line: int) -> None:
    """Find the first line that is wrong and say how; the slow way, taken only for text that is wrong."""
    for line, row in enumerate(text.split(b"\n"), first_line):
        if not row.strip():
            continue
        try:
            answer: Any = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{source}, line {line}: not one JSON object: {error}") from error
        score = answer.get("score") if isinstance(answer, dict) else None
        if not is_number(score):
            raise FormatError(
                f"{source}, line {line}: {row[:200]!r} has no finite 'score', as Factorization Machines "
                "answers with Accept 'application/jsonlines'"
            )
