"""Row numbers over all files: what decides the order of a user's interactions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RowNumbers:
    """Turns positions, which depend on how Spark cut the files, into numbers over all files."""

    first_positions: NDArray[np.int64]
    to_row: NDArray[np.int64]

    def of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        piece = np.searchsorted(self.first_positions, positions, side="right") - 1
        return np.asarray(positions + self.to_row[piece])
