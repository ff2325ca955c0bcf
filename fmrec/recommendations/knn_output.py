"""Read what SageMaker's k-NN batch transform wrote for a part of the queries.

With ``Accept: application/jsonlines; verbose=true`` each query record gives one line
``{"labels": [...], "distances": [...], "predicted_label": ...}`` in the order of the records. Blank
lines mean nothing (``AssembleWith: Line`` may add some). For an inner-product index the distances are
the products themselves and ascend, so that the best match is the *last*: a reader who takes the first N
publishes the worst. Here the rows are sorted by what the numbers say, not by where they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fmrec.artifacts.transform_output import read_objects, whole_lines
from fmrec.dataset.section import is_number, shown
from fmrec.errors import FormatError

BLOCK_BYTES = 4 << 20
"""Text parsed at a time; some 1,400 users at k = 100."""

_SCHEMA = pa.schema([("labels", pa.list_(pa.float64())), ("distances", pa.list_(pa.float64()))])


@dataclass(frozen=True)
class Neighbours:
    """The best items of some users, best first; equal products are ordered by item.

    ``items`` int64 (users, k) are item ordinals, ``products`` float64 (users, k) inner products.
    """

    items: npt.NDArray[np.int64]
    products: npt.NDArray[np.float64]


def read_neighbours(
    stream: BinaryIO, source: str, items: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[Neighbours]:
    """Yield the neighbours of consecutive users, a block of lines at a time.

    Parameters
    ----------
    stream
        The transform's ``.out`` object.
    source
        Its name, for messages.
    items
        Number of items in the index: labels are ordinals in ``[0, items)``.

    Raises
    ------
    FormatError
        A line is no JSON object with ``labels`` and ``distances`` of the same, everywhere equal length,
        a label is no item ordinal, or a distance is not finite.
    """
    line, length = 1, None
    for text in whole_lines(stream, block_bytes):
        if text.strip():
            block = _parse(text, source, line, items, length)
            length = block.items.shape[1]
            yield block
        line += text.count(b"\n")


def in_order(items: npt.NDArray[np.int64], products: npt.NDArray[np.float64]) -> Neighbours:
    """Sort each row by product, best first, and by item where products are equal."""
    order = np.lexsort((items, -products), axis=-1)
    return Neighbours(np.take_along_axis(items, order, -1), np.take_along_axis(products, order, -1))


def _parse(text: bytes, source: str, first_line: int, items: int, length: int | None) -> Neighbours:
    try:
        table = read_objects(text, _SCHEMA)
    except pa.ArrowInvalid as error:
        _refuse(text, source, first_line, items, length)
        raise FormatError(
            f"{source}, from line {first_line}: can't be read as k-NN's answers: {error}"
        ) from error
    labels, products = _matrix(table["labels"]), _matrix(table["distances"])
    # One object a line, or the users' order is lost: Arrow itself would take several on one line.
    lines = sum(1 for row in text.split(b"\n") if row.strip())
    if (
        labels is None
        or products is None
        or labels.shape != products.shape
        or labels.shape != (lines, length or labels.shape[1])
        or not _are_ordinals(labels, items)
        or not np.isfinite(products).all()
    ):
        _refuse(text, source, first_line, items, length)
        raise FormatError(f"{source}, from line {first_line}: expected one k-NN answer a line")
    return in_order(labels.astype(np.int64), products)


def _matrix(column: Any) -> npt.NDArray[np.float64] | None:
    """A column of equally long lists as (rows, length), or None where they aren't equally long."""
    array = column.combine_chunks()
    lengths = np.diff(array.offsets.to_numpy())
    if array.null_count or lengths.size == 0 or lengths[0] == 0 or (lengths != lengths[0]).any():
        return None
    values = array.flatten()
    if values.null_count:
        return None
    matrix: npt.NDArray[np.float64] = values.to_numpy().reshape(len(array), lengths[0])
    return matrix


def _are_ordinals(labels: npt.NDArray[np.float64], items: int) -> bool:
    return bool(((labels == np.floor(labels)) & (labels >= 0) & (labels < items)).all())


def _refuse(text: bytes, source: str, first_line: int, items: int, expected: int | None) -> None:
    """Find the first line that is wrong and say how; the slow way, taken only for text that is wrong."""
    for line, row in enumerate(text.split(b"\n"), first_line):
        if not row.strip():
            continue
        where = f"{source}, line {line}"
        try:
            answer = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{where}: not a JSON object, as k-NN writes one a line: {error}") from error
        if not isinstance(answer, dict) or not all(
            isinstance(answer.get(key), list) for key in ("labels", "distances")
        ):
            raise FormatError(
                f"{where}: no lists 'labels' and 'distances'; run the batch transform with Accept "
                "'application/jsonlines; verbose=true'"
            )
        labels, distances = answer["labels"], answer["distances"]
        expected = len(labels) if expected is None else expected
        if not len(labels) == len(distances) == expected or not labels:
            raise FormatError(
                f"{where}: {len(labels)} labels and {len(distances)} distances, expected {expected} of each"
            )
        for label in labels:
            if not is_number(label) or label != int(label) or not 0 <= label < items:
                raise FormatError(
                    f"{where}: label {shown(label)} is no item ordinal below {items}; are the k-NN model and "
                    "the embeddings of the same run? (k must not be above the number of items either)"
                )
        for distance in distances:
            if not is_number(distance):
                raise FormatError(f"{where}: distance {shown(distance)} is not a finite number")
