"""Scores that reach what is known are found in any chunk, without those of items that a user has seen."""

from typing import Any

import numpy as np
import pytest

from fmrec.artifacts.interactions import from_pairs
from fmrec.ranking.block_ranking import CHUNK, Candidates, Memory, Ranker, Seen, keep_best

ITEMS = 2 * CHUNK + 77
SEEN_USERS, SEEN_ITEMS = np.array([0, 0, 1, 1]), np.array([5, CHUNK + 3, 5, ITEMS - 1])


def improve(scores: Any, known: Any, k: int = 2) -> Candidates:
    """Rank items of one dimension each, so that a user's scores are one row of these."""
    seen = Seen(
        from_pairs(SEEN_USERS, SEEN_ITEMS, len(scores)), slice(0, len(scores)), np.arange(ITEMS), ITEMS
    )
    known = np.asarray(known, np.float32)
    return Ranker(scores.T.copy(), k).improve(Memory(), np.eye(len(scores), dtype=np.float32), seen, known)


def best(found: Candidates, users: int, k: int) -> list[list[int]]:
    items, scores = np.full((users, k), -1), np.full((users, k), -np.inf, np.float32)
    keep_best(found, items, scores)
    return items.tolist()


def test_scores_equal_to_what_is_known_are_found_and_seen_items_are_not() -> None:
    scores = np.zeros((2, ITEMS), np.float32)
    scores[0, [5, 9, CHUNK + 3, ITEMS - 1]] = [9, 7, 8, 4]
    scores[1, [5, CHUNK, ITEMS - 1]] = [9, 3, 8]
    found = improve(scores, [4, 4])
    assert sorted(zip(found.user.tolist(), found.item.tolist(), found.score.tolist(), strict=True)) == [
        (0, 9, 7.0),
        (0, ITEMS - 1, 4.0),
    ]


@pytest.mark.parametrize("known", [0, -np.inf])
def test_of_equal_scores_the_first_items_that_are_not_seen_are_found(known: float) -> None:
    found = improve(np.zeros((3, ITEMS), np.float32), [known] * 3, k=7)
    assert best(found, 3, 7) == [[0, 1, 2, 3, 4, 6, 7], [0, 1, 2, 3, 4, 6, 7], [0, 1, 2, 3, 4, 5, 6]]
    assert len(found.user) <= 3 * 3 * 7 * 32
