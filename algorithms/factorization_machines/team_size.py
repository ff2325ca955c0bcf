"""How many threads train: as many as there are, or one, whichever is faster on this data and machine.

Threads hand rows of the model to each other through the processor's caches. Where a model is small and its
mini-batches are too, that takes longer than a thread gains, and where other programs run beside, threads wait
for each other. Neither is known beforehand, and results don't depend on it: so both are measured.
"""

from __future__ import annotations

from collections import deque

TRIALS = 2
"""Measurements of each size that count: the better of them, as a first one may include compiling."""
BLOCKS_BETWEEN = 16
"""From one measurement of the slower size to the next."""


class TeamSize:
    """Which number of threads trains the next block of mini-batches.

    Parameters
    ----------
    threads : the most that may be used, at least 1
    """

    def __init__(self, threads: int) -> None:
        self._sizes = (threads, 1) if threads > 1 else (1,)
        self._rates = {size: deque[float](maxlen=TRIALS) for size in self._sizes}
        self._blocks = 0

    def next(self) -> int:
        """Return the number of threads for the next block; ``trained`` says how it went."""
        block = self._blocks
        self._blocks += 1
        if block < TRIALS * len(self._sizes):
            return self._sizes[block % len(self._sizes)]
        by_rate = sorted(self._sizes, key=lambda size: max(self._rates[size]))
        return by_rate[0 if block % BLOCKS_BETWEEN == 0 else -1]

    def trained(self, threads: int, mini_batches: int, seconds: float) -> None:
        """Take note of how long so many threads took for a block."""
        self._rates[threads].append(mini_batches / max(seconds, 1e-9))
