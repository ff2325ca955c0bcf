"""Rows of erased users: read, counted and left out, as if they were not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmrec.encoding.ingest.validation import ERASED, GOOD, STATE


@dataclass(frozen=True)
class WithoutErased:
    """Marks good rows of erased users from before their erasure as ``ERASED``.

    Parameters
    ----------
    users : StringArray
        Ids of erased users.
    until : array of float64
        When each was erased, in seconds since 1970. A row without a time is from before.
    """

    users: pa.Array
    until: NDArray[np.float64]

    @classmethod
    def of(cls, erasures: Mapping[str, float]) -> Self | None:
        """Return None where nobody is erased."""
        if not erasures:
            return None
        users = pa.array(list(erasures), pa.string())
        return cls(users, np.array(list(erasures.values()), np.float64))

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        place = pc.index_in(batch.column("user").cast(pa.string()), value_set=self.users)
        if place.null_count == len(place):
            return batch
        states = np.array(batch.column(STATE))
        rows = np.flatnonzero(np.asarray(place.is_valid()) & (states == GOOD))
        time = np.asarray(pc.fill_null(batch.column("timestamp"), 0.0))[rows]
        until = self.until[np.asarray(place.take(pa.array(rows)))]
        states[rows[time <= until]] = ERASED
        return batch.set_column(batch.schema.get_field_index(STATE), STATE, pa.array(states, pa.int32()))
