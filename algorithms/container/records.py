"""Records of channels and requests, decoded by ``fmrec.recordio``; CSV for the algorithms that take it.

A batch is features and labels: features are a CSR matrix if the records are sparse and an array if they
are dense, in the records' own dtype; labels are None if the records have none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from algorithms.container.environment import Channel
from algorithms.container.media_types import CSV, RECORDIO, MediaType
from fmrec.errors import FormatError, InputError
from fmrec.recordio import decode, read_batches

Features: TypeAlias = scipy.sparse.csr_matrix | NDArray[Any]
Batch: TypeAlias = tuple[Features, NDArray[Any] | None]

BATCH_ROWS = 8192


def read_channel(channel: Channel, content_types: Sequence[str]) -> Iterator[Batch]:
    """Every record of every file of a channel, in batches.

    Raises
    ------
    InputError
        The algorithm doesn't take the channel's content type, there is no file, or a file isn't what the
        content type says.
    """
    content_type = MediaType.parse(channel.content_type or RECORDIO)
    if content_type.name not in content_types:
        raise channel.unreadable(f"This algorithm reads {' and '.join(content_types)}.")
    for path in channel.files():
        try:
            if content_type.name == CSV:
                yield from _read_csv(path, int(content_type.parameters.get("label_size", "1")))
            else:
                with path.open("rb") as file:
                    yield from read_batches(file, BATCH_ROWS)
        except FormatError as error:
            raise channel.unreadable(f"File {path.relative_to(channel.folder)}: {error}") from error


def read_payload(body: bytes) -> Features:
    """Features of a recordIO-protobuf request; labels, if any, are left aside.

    Raises
    ------
    FormatError
        The body is no recordIO-protobuf.
    """
    return decode(body)[0]


def as_dense(features: Features) -> NDArray[Any]:
    """An array, zeros filled in where the records are sparse."""
    if isinstance(features, np.ndarray):
        return features
    dense: NDArray[Any] = features.toarray()
    return dense


def _read_csv(path: Path, label_size: int) -> Iterator[Batch]:
    if label_size not in (0, 1):
        raise InputError(f"label_size is {label_size} in the content type, expected 0 or 1")
    with path.open(encoding="utf-8") as file:
        line = 1
        while lines := list(itertools.islice(file, BATCH_ROWS)):
            try:
                table = np.loadtxt(lines, dtype=np.float32, delimiter=",", ndmin=2, comments=None)
            except ValueError as error:
                raise FormatError(
                    f"lines {line} to {line + len(lines) - 1} are not CSV of numbers without a header: {error}"
                ) from error
            line += len(lines)
            yield table[:, label_size:], table[:, 0] if label_size else None
