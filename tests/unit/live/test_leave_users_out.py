"""Users really are left out, and everybody else's rows stay byte for byte."""

import io

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fmrec.errors import InputError
from fmrec.live.leave_users_out import draw_left_out, without_users
from fmrec.recordio import decode, write_spmatrix_to_sparse_tensor

USERS, ITEMS = 6, 4


def channel(users: list[int]) -> bytes:
    rows = np.zeros((len(users), USERS + ITEMS), np.float32)
    for row, user in enumerate(users):
        rows[row, user] = 1
        rows[row, USERS + row % ITEMS] = 1
    labels = np.arange(len(users), dtype=np.float32) % 2
    file = io.BytesIO()
    write_spmatrix_to_sparse_tensor(file, csr_matrix(rows), labels)
    return file.getvalue()


def test_rows_of_left_out_users_go_and_all_others_stay_in_order() -> None:
    users = [0, 3, 1, 3, 5, 2, 0]
    found = without_users(channel(users), np.array([0, 3]))
    matrix, labels = decode(found)
    assert labels is not None
    assert not isinstance(matrix, np.ndarray)
    dense = matrix.toarray()
    assert dense[:, :USERS].argmax(axis=1).tolist() == [1, 5, 2]
    assert dense[:, USERS:].argmax(axis=1).tolist() == [2, 0, 1]
    assert labels.tolist() == [0, 0, 1]
    assert without_users(channel(users), np.zeros(0, np.int64)) == channel(users)


def test_the_draw_is_a_seeded_share() -> None:
    found = draw_left_out(943, 0.2, 7)
    assert len(found) == len(set(found.tolist())) == 188
    assert (np.diff(found) > 0).all()
    assert found.tolist() == draw_left_out(943, 0.2, 7).tolist()
    assert found.tolist() != draw_left_out(943, 0.2, 8).tolist()


def test_a_share_that_leaves_nobody_in_or_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"a share of 0\.1 of 5 users is 0 users"):
        draw_left_out(5, 0.1, 0)
    with pytest.raises(InputError, match="all rows are of users to leave out"):
        without_users(channel([1, 1]), np.array([1]))
