"""A checked batch of rows, ready to be encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fmrec.errors import InputError
from fmrec.recordio import wire
from fmrec.recordio.wire import Integers, TensorType


@dataclass(frozen=True)
class Rows:
    """Rows one after the other: row r has the next ``counts[r]`` of ``values``."""

    counts: Integers
    values: NDArray[Any]
    value_type: TensorType
    keys: Integers | None
    """Columns of the values, or None where rows are dense."""
    feature_dim: int
    labels: NDArray[Any] | None
    label_type: TensorType | None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def shape(self) -> bytes:
        """The tensor's shape field; dense tensors have none."""
        if self.keys is None:
            return b""
        return wire.length_delimited(wire.SHAPE, wire.varint(self.feature_dim))


def check_payload(size: int) -> None:
    """Raise InputError if a record can't hold so many bytes."""
    if size > wire.MAX_PAYLOAD:
        raise InputError(f"a row takes {size} bytes: a record holds at most {wire.MAX_PAYLOAD}")
