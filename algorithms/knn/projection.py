"""Random projections that shorten vectors before they are indexed (``dimension_reduction_type``).

``sign`` is Achlioptas' (2003) matrix of random signs; ``fjlt`` is Ailon and Chazelle's (2009) fast
Johnson-Lindenstrauss transform: random signs, a Walsh-Hadamard transform, then a sparse Gaussian
matrix. Both keep squared lengths in expectation. They are drawn from a seed, which the artifact keeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray


@dataclass(frozen=True)
class Projection:
    """``kind`` is ``sign`` or ``fjlt``; shortens ``input_dim`` features to ``target_dim``."""

    kind: str
    seed: int
    target_dim: int
    input_dim: int

    def apply(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project (rows, input_dim) float32 to (rows, target_dim) float32."""
        generator = np.random.default_rng(self.seed)
        if self.kind == "sign":
            signs = generator.integers(0, 2, (self.input_dim, self.target_dim)).astype(np.float32) * 2 - 1
            return features @ (signs / np.float32(math.sqrt(self.target_dim)))
        return self._fast_transform(features, generator)

    def _fast_transform(
        self, features: NDArray[np.float32], generator: np.random.Generator
    ) -> NDArray[np.float32]:
        width = 1 << (self.input_dim - 1).bit_length()
        signs = generator.integers(0, 2, self.input_dim).astype(np.float32) * 2 - 1
        padded = np.zeros((len(features), width), np.float32)
        padded[:, : self.input_dim] = features * signs
        spread = walsh_hadamard(padded) / np.float32(math.sqrt(width))
        # After the transform no coordinate holds most of a vector, so that few of them represent it.
        density = min(1.0, max(math.log(width) ** 2, 1.0) / width)
        chosen = generator.random((width, self.target_dim)) < density
        rows, columns = np.nonzero(chosen)
        scale = 1.0 / math.sqrt(density * self.target_dim)
        weights = (generator.standard_normal(rows.size) * scale).astype(np.float32)
        matrix = scipy.sparse.csr_matrix((weights, (rows, columns)), shape=(width, self.target_dim))
        return np.asarray(spread @ matrix, np.float32)


def walsh_hadamard(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Walsh-Hadamard transform of each row, not normalised; the width must be a power of two."""
    count, width = rows.shape
    half = 1
    result = rows
    while half < width:
        pairs = result.reshape(count, width // (2 * half), 2, half)
        result = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        result = result.reshape(count, width)
        half *= 2
    return result
