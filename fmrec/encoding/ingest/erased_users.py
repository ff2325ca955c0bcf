"""Rows of erased users: read, counted and left out, as if they were not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fmrec.encoding.ingest.chunks import Take
from fmrec.encoding.ingest.validation import ERASED, GOOD, STATE


@dataclass(frozen=True)
class WithoutErased:
    """Takes batches as ``take`` does; good rows of erased users from before their erasure are ``ERASED``.

    Parameters
    ----------
    users : StringArray
        Ids of erased users.
    until : array of float64
        When each was erased, in seconds since 1970. A row without a time is from before.
    """

    take: Take
    users: pa.Array
    until: NDArray[np.float64]

    @classmethod
    def of(cls, take: Take, erasures: Mapping[str, float]) -> Take:
        """Return ``take`` itself where nobody is erased."""
        if not erasures:
            return take
        users = pa.array(list(erasures), pa.string())
        return cls(take, users, np.array(list(erasures.values()), np.float64))

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        taken = self.take(batch)
        place = pc.index_in(taken.column("user"), value_set=self.users)
        if place.null_count == len(place):
            return taken
        states = np.array(taken.column(STATE))
        rows = np.flatnonzero(np.asarray(place.is_valid()) & (states == GOOD))
        time = np.asarray(pc.fill_null(taken.column("timestamp"), 0.0))[rows]
        until = self.until[np.asarray(place.take(pa.array(rows)))]
        states[rows[time <= until]] = ERASED
        return taken.set_column(taken.schema.get_field_index(STATE), STATE, pa.array(states, pa.int32()))
