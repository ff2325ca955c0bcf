"""A trained factorization machine: its parameters, its artifact, its scores.

``y(x) = w0 + Σ_i w_i x_i + Σ_{i<j} <v_i, v_j> x_i x_j`` (Rendle, "Factorization Machines", ICDM 2010); the
classifier's score is the sigmoid of y, the regressor's is y.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import InputError
from fmrec.model import artifact
from fmrec.model.artifact import HEADS, MODEL_FILE, Artifact

CHUNK_PRODUCTS = 1 << 22
"""Factor values held at once while scoring: 32 MiB, however many rows there are."""


@dataclass(frozen=True, eq=False)
class FactorizationMachine:
    """A second-order factorization machine over n features with k factors."""

    bias: float
    linear: NDArray[np.float32]
    """Shape (n,)."""
    factors: NDArray[np.float32]
    """Shape (n, k)."""
    predictor_type: str
    """``binary_classifier`` or ``regressor``."""

    def __post_init__(self) -> None:
        if self.factors.ndim != 2 or self.linear.shape != self.factors.shape[:1]:
            raise InputError(
                f"linear weights have the shape {self.linear.shape} and factors {self.factors.shape}: "
                "expected (n,) and (n, k)"
            )
        if self.predictor_type not in HEADS:
            raise InputError(f"predictor_type is {self.predictor_type!r}: expected {' or '.join(HEADS)}")

    @property
    def feature_dim(self) -> int:
        return int(self.factors.shape[0])

    @property
    def num_factors(self) -> int:
        return int(self.factors.shape[1])

    @classmethod
    def load(cls, source: str | Path | BinaryIO) -> FactorizationMachine:
        """Load SageMaker's artifact, as trained on sparse or on dense data.

        The parameters are read-only and memory-mapped from an unpacked temporary file, so that a model may
        be larger than memory.

        Parameters
        ----------
        source
            Path, ``s3://`` URI or open binary file of model.tar.gz or of the ``model_algo-1`` in it; or
            path of the folder that it was unpacked into.

        Raises
        ------
        FormatError
            Not such an artifact; says what is wrong where.
        InputError
            There is no such object.
        """
        loaded = artifact.read(source)
        return cls(
            loaded.bias,
            loaded.linear.astype(np.float32, copy=False),
            loaded.factors.astype(np.float32, copy=False),
            loaded.predictor_type,
        )

    def save(
        self,
        target: str | Path | BinaryIO,
        training_parameters: Mapping[str, str] | None = None,
        *,
        row_sparse: bool = True,
    ) -> None:
        """Write model.tar.gz as training on sparse data leaves it; equal models give equal bytes.

        Parameters
        ----------
        target
            Path, ``s3://`` URI or binary file open for writing.
        training_parameters
            Hyperparameters to keep in meta.json, besides the three that the model itself has.
        row_sparse
            Store factors and linear weights as MXNet stores weights of that storage type, or as dense
            arrays. Readers, ours included, can't tell the loaded arrays apart.

        Raises
        ------
        InputError
            The target can't be written to.
        """
        artifact.write_archive(target, self._artifact(training_parameters), row_sparse=row_sparse)

    def save_model_algo(
        self, directory: str | Path, training_parameters: Mapping[str, str] | None = None
    ) -> None:
        """Write ``model_algo-1`` into a folder, as a training container leaves it for packing."""
        with (Path(directory) / MODEL_FILE).open("wb") as file:
            artifact.write_zip(file, self._artifact(training_parameters), row_sparse=True)

    def scores(self, rows: Any) -> NDArray[np.float64]:
        """Return y of every row.

        Sums are kept in float64: the factors' part is the difference of two large sums, and each row's
        result must not depend on which rows it is scored with.

        Parameters
        ----------
        rows
            SciPy sparse matrix or array (rows, n).

        Raises
        ------
        InputError
            The rows have another number of columns than the model has features.
        """
        parts = [constants for _, constants in self._fold_in_chunks(rows)]
        return self.bias + np.concatenate([np.empty(0), *parts])

    def predict(self, rows: Any) -> NDArray[np.float64]:
        """Return what SageMaker calls ``score``: the probability of label 1, or the regressor's value.

        Parameters and errors are those of ``scores``.
        """
        scores = self.scores(rows)
        return np.exp(-np.logaddexp(0, -scores)) if self.predictor_type == "binary_classifier" else scores

    def fold(self, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fold each row's features into one vector and one constant.

        For a row x, ``p = Σ x_i v_i`` and ``c = Σ w_i x_i + ½ (|p|² − Σ x_i² |v_i|²)``. If a query's
        features A and an item's features B don't overlap, their row has ``y = w0 + c_A + c_B + <p_A, p_B>``:
        an inner product of ``[p_A, 1]`` and ``[p_B, c_B]`` ranks items for a query as the model does.

        Parameters
        ----------
        rows
            SciPy sparse matrix or array (rows, n).

        Returns
        -------
        vectors
            p, shape (rows, k).
        constants
            c, shape (rows,).

        Raises
        ------
        InputError
            The rows have another number of columns than the model has features.
        """
        parts = list(self._fold_in_chunks(rows))
        vectors = [part for part, _ in parts]
        constants = [part for _, part in parts]
        return (
            np.concatenate([np.empty((0, self.num_factors)), *vectors]),
            np.concatenate([np.empty(0), *constants]),
        )

    def _fold_in_chunks(self, rows: Any) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        csr = rows.tocsr() if hasattr(rows, "tocsr") else _dense_to_csr(rows)
        if csr.shape[1] != self.feature_dim:
            raise InputError(
                f"rows have {csr.shape[1]} columns, but the model has {self.feature_dim} features: were they "
                "encoded with the feature index that the model was trained on?"
            )
        step = max(1, CHUNK_PRODUCTS // max(1, self.num_factors))
        for start in range(0, csr.shape[0], step):
            chunk = _in_canonical_order(csr[start : start + step])
            # Only the parameters of features that occur are read, as the model may not fit memory.
            used, places = np.unique(chunk.indices, return_inverse=True)
            shape = (chunk.shape[0], len(used))
            values = chunk.data.astype(np.float64)
            x = type(chunk)((values, places, chunk.indptr), shape=shape)
            x_squared = type(chunk)((values**2, places, chunk.indptr), shape=shape)
            factors = self.factors[used].astype(np.float64)
            vectors = x @ factors
            pairs = (vectors**2).sum(axis=1) - x_squared @ (factors**2).sum(axis=1)
            yield vectors, x @ self.linear[used].astype(np.float64) + 0.5 * pairs

    def _artifact(self, training_parameters: Mapping[str, str] | None) -> Artifact:
        own = {
            "feature_dim": str(self.feature_dim),
            "num_factors": str(self.num_factors),
            "predictor_type": self.predictor_type,
        }
        return Artifact(
            self.bias,
            np.asarray(self.linear, np.float32),
            np.asarray(self.factors, np.float32),
            self.predictor_type,
            {**(training_parameters or {}), **own},
        )


def _in_canonical_order(csr: Any) -> Any:
    """Return rows whose columns ascend, each stored once: a column's values are summed as in a dense row.

    ``x_i²`` is of the sum, and a row's score doesn't depend on how it was stored.
    """
    row = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))
    ascends = (csr.indices[1:] > csr.indices[:-1]) | (row[1:] > row[:-1])
    if ascends.all():
        return csr
    order = np.lexsort((csr.indices, row))  # stable: values are added in the order they are stored in
    row, columns = row[order], csr.indices[order]
    is_first = np.concatenate([[True], (columns[1:] > columns[:-1]) | (row[1:] > row[:-1])])
    values = np.zeros(int(is_first.sum()), csr.data.dtype)
    np.add.at(values, np.cumsum(is_first) - 1, csr.data[order])
    indptr = np.zeros(csr.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(row[is_first], minlength=csr.shape[0]), out=indptr[1:])
    return type(csr)((values, columns[is_first], indptr), shape=csr.shape)


def _dense_to_csr(rows: Any) -> Any:
    # The Lambdas do without SciPy, and have no dense rows.
    from scipy import sparse

    return sparse.csr_matrix(rows)
