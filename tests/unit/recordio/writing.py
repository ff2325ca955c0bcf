"""What the writers write of an array."""

import io
from typing import Any

from scipy import sparse

from fmrec import recordio


def written(array: Any, labels: Any) -> bytes:
    file = io.BytesIO()
    if sparse.issparse(array):
        recordio.write_spmatrix_to_sparse_tensor(file, array, labels)
    else:
        recordio.write_numpy_to_dense_tensor(file, array, labels)
    return file.getvalue()
