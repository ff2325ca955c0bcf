"""What the records of a stream have in common: the first one sets it, the others are held to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import FormatError
from fmrec.recordio.record import Record, Tensor, Value
from fmrec.recordio.row_arrays import Rows
from fmrec.recordio.wire import TensorType


@dataclass(frozen=True)
class Schema:
    """Types and sizes of every record."""

    value_type: TensorType
    is_sparse: bool
    feature_dim: int
    label_type: TensorType | None

    @property
    def key_dtype(self) -> np.dtype[np.signedinteger[Any]]:
        """What keys are decoded to: the narrower type that SciPy takes for the dimension."""
        return np.dtype(np.int32 if self.feature_dim < 1 << 31 else np.int64)

    @classmethod
    def of(cls, record: Record, at: int) -> Schema:
        """Return the schema that a stream's first record sets; ``at`` is its offset, for messages.

        Raises
        ------
        FormatError
            No features under ``values``, or a sparse tensor without a shape.
        """
        tensor, value_type = _only_tensor(record.features, "features", at)
        is_sparse = len(tensor.keys) > 0 or (len(tensor.shape) > 0 and not len(tensor.values))
        if is_sparse and len(tensor.shape) != 1:
            raise FormatError(
                f"byte {at}: a sparse record has the shape {list(tensor.shape)}: expected one number, "
                "the dimension"
            )
        dimension = tensor.shape[0] if is_sparse else len(tensor.values)
        if dimension >= 1 << 63:
            raise FormatError(f"byte {at}: a record's dimension is {dimension}: expected below 2**63")
        label_type = None
        if record.label:
            _, label_type = _only_tensor(record.label, "label", at)
        return cls(value_type, is_sparse, dimension, label_type)

    def empty(self, rows: int, elements: int) -> Rows:
        """Return rows to be filled."""
        return Rows(
            counts=np.empty(rows, np.int64),
            values=np.empty(elements, self.value_type.dtype),
            value_type=self.value_type,
            keys=np.empty(elements, self.key_dtype) if self.is_sparse else None,
            feature_dim=self.feature_dim,
            labels=None if self.label_type is None else np.empty(rows, self.label_type.dtype),
            label_type=self.label_type,
        )

    def row(self, record: Record, at: int) -> Rows:
        """Return a record as a batch of one row.

        Raises
        ------
        FormatError
            The record doesn't fit the schema; names its byte offset and what differs.
        """
        tensor, value_type = _only_tensor(record.features, "features", at)
        if value_type != self.value_type:
            raise FormatError(
                f"byte {at}: a record has a {value_type.name} tensor, the first record a {self.value_type.name}"
            )
        if self.is_sparse:
            self._check_sparse(tensor, at)
        elif len(tensor.values) != self.feature_dim or len(tensor.keys):
            raise FormatError(
                f"byte {at}: a record has {len(tensor.values)} values and {len(tensor.keys)} keys, the first "
                f"record is dense with {self.feature_dim} values"
            )
        return Rows(
            counts=np.array([len(tensor.values)]),
            values=tensor.values,
            value_type=self.value_type,
            keys=tensor.keys.astype(self.key_dtype) if self.is_sparse else None,
            feature_dim=self.feature_dim,
            labels=self._label(record, at),
            label_type=self.label_type,
        )

    def _check_sparse(self, tensor: Tensor, at: int) -> None:
        if len(tensor.keys) != len(tensor.values):
            raise FormatError(
                f"byte {at}: a record has {len(tensor.values)} values but {len(tensor.keys)} keys"
            )
        if tensor.shape != (self.feature_dim,):
            raise FormatError(
                f"byte {at}: a record has the shape {list(tensor.shape)}, the first record "
                f"[{self.feature_dim}]"
            )
        if len(tensor.keys) and int(tensor.keys.max()) >= self.feature_dim:
            raise FormatError(
                f"byte {at}: a record has the key {int(tensor.keys.max())}: expected below its dimension "
                f"{self.feature_dim}"
            )

    def _label(self, record: Record, at: int) -> NDArray[Any] | None:
        if self.label_type is None:
            if record.label:
                raise FormatError(f"byte {at}: a record has a label, the first record has none")
            return None
        tensor, label_type = _only_tensor(record.label, "label", at)
        if label_type != self.label_type:
            raise FormatError(
                f"byte {at}: a record's label is {label_type.name}, the first record's {self.label_type.name}"
            )
        if len(tensor.values) != 1:
            raise FormatError(f"byte {at}: a record's label has {len(tensor.values)} values: expected one")
        return tensor.values


Room: TypeAlias = Callable[[Schema, int, int], Rows]
"""Gives so many rows and elements to be filled: ``Schema.empty``, or where they will be collected."""


def _only_tensor(entries: dict[str, Value], what: str, at: int) -> tuple[Tensor, TensorType]:
    value = entries.get("values")
    if len(entries) != 1 or value is None or value.tensor_type is None:
        raise FormatError(
            f"byte {at}: a record's {what} are {sorted(entries)}: expected one tensor under 'values'"
        )
    return value.tensor, value.tensor_type
