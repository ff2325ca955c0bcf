"""Leave users out of training: which, and an encoded channel without their rows.

An evaluation for cold-start users must not have trained on them. The channel that the encoding job wrote is
kept as it is but for these users' rows, so that everything else stays equal: columns, the order of rows,
negatives.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError
from fmrec.recordio import decode, write_spmatrix_to_sparse_tensor


def draw_left_out(users: int, share: float, seed: int) -> npt.NDArray[np.int64]:
    """Ordinals of a random share of the users, ascending.

    Raises
    ------
    InputError
        The share leaves nobody in or nobody out.
    """
    count = int(users * share)
    if not 0 < count < users:
        raise InputError(
            f"a share of {share} of {users} users is {count} users: expected some to be left out of training, "
            "and some not"
        )
    return np.sort(np.random.default_rng(seed).permutation(users)[:count])


def without_users(channel: bytes, users: npt.NDArray[np.int64]) -> bytes:
    """A recordIO-protobuf part without the rows in which one of the user columns is set.

    Parameters
    ----------
    channel
        Sparse records with labels, as ``encoded/<run>/train/`` holds them. Users' columns are the first ones,
        so a column is the user's ordinal.
    users
        Ordinals of the users to leave out, ascending.

    Raises
    ------
    FormatError
        Not recordIO-protobuf.
    InputError
        Records are dense or without labels, or no row is left.
    """
    matrix, labels = decode(channel)
    if isinstance(matrix, np.ndarray) or labels is None:
        raise InputError("records are dense or have no labels: expected the training channel of an encoding")
    last = int(users[-1]) + 1 if len(users) else 0
    left_out = np.zeros(max(matrix.shape[1], last), bool)
    left_out[users] = True
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    kept = np.ones(matrix.shape[0], bool)
    kept[rows[left_out[matrix.indices]]] = False
    if not kept.any():
        raise InputError("all rows are of users to leave out: leave fewer users out")
    file = io.BytesIO()
    write_spmatrix_to_sparse_tensor(file, matrix[kept], labels[kept])
    return file.getvalue()
