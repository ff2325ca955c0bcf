"""Reservoir sampling (Vitter, 1985, algorithm R) over batches of rows.

SageMaker's k-NN indexes a uniform sample of at most ``sample_size`` rows, drawn in one pass.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def reservoir_sample(
    batches: Iterable[tuple[Floats, Floats]], sample_size: int, seed: int
) -> tuple[Floats, Floats, int]:
    """Draw rows; memory is that of the sample and one batch.

    Parameters
    ----------
    batches
        (rows, features) and (rows,) labels.

    Returns
    -------
    features, labels
        At most ``sample_size`` rows; all, in their order, if there are no more.
    int
        Rows seen.
    """
    generator = np.random.default_rng(seed)
    pieces: list[tuple[Floats, Floats]] = []
    sample: tuple[Floats, Floats] | None = None
    seen = 0
    for features, labels in batches:
        taken = 0
        if sample is None:
            taken = min(sample_size - seen, len(labels))
            pieces.append((features[:taken], labels[:taken]))
            if seen + taken == sample_size:
                sample = _joined(pieces)
                pieces = []
        if sample is not None:
            order = np.arange(seen + taken, seen + len(labels))
            slots = generator.integers(0, order + 1)
            chosen = np.flatnonzero(slots < sample_size)
            # Rows that draw the same slot follow each other, and NumPy keeps the last: as one by one.
            sample[0][slots[chosen]] = features[taken + chosen]
            sample[1][slots[chosen]] = labels[taken + chosen]
        seen += len(labels)
    if sample is None:
        sample = _joined(pieces)
    return *sample, seen


def _joined(pieces: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    return np.concatenate([piece[0] for piece in pieces]), np.concatenate([piece[1] for piece in pieces])
