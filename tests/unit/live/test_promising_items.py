"""Ranking one user by reading the promising items only is exact."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.live import promising_items
from fmrec.live.items import Items
from fmrec.live.promising_items import Block, PromisingItems


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(2, 400),
    width=st.integers(1, 6),
    further=st.integers(0, 3),
    count=st.integers(1, 40),
    distance=st.sampled_from([0.0, 0.5, 4.0]),
    share_hidden=st.sampled_from([0.0, 0.2, 1.0]),
    share_excluded=st.sampled_from([None, 0.3, 1.0]),
)
def test_the_list_is_that_of_sorting_every_score(
    seed: Any,
    items: Any,
    width: Any,
    further: Any,
    count: Any,
    distance: Any,
    share_hidden: Any,
    share_excluded: Any,
) -> None:
    random = np.random.default_rng(seed)
    # Small integers, exact in float32, so that scores tie.
    both = width + further
    vectors = (random.integers(-2, 3, (items, both)) * random.choice([0, 1, 3], (items, 1))).astype(
        np.float32
    )
    offsets = random.integers(-3, 1, items).astype(np.float32)
    centre, query = random.integers(-2, 3, (2, both)).astype(np.float32)
    hidden = np.flatnonzero(random.random(items) < share_hidden)
    excluded = None if share_excluded is None else random.random(items) < share_excluded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promising_items, "FIRST", 16)
        patch.setattr(promising_items, "BLOCK", 8)
        blocks = [Block(centre[:width], distance)]
        if further:
            blocks.append(Block(centre[width:], 1.5))
        found = PromisingItems(Items(vectors, offsets), blocks).top(query, count, hidden, excluded)
    scores = vectors @ query + offsets
    scores[hidden] = -np.inf
    if excluded is not None:
        scores[excluded] = -np.inf
    expected = [item for item in np.lexsort((np.arange(items), -scores)) if scores[item] > -np.inf][:count]
    assert found.items.tolist() == expected
    assert np.array_equal(found.scores, scores[expected])


@pytest.mark.parametrize("distance", [0.1, 2.0, 20.0])
def test_no_item_that_reaches_a_score_is_left_out_for_users_near_and_far(distance: float) -> None:
    random = np.random.default_rng(7)
    lengths = random.exponential(1, (5000, 1)) ** 2
    vectors = (random.normal(size=(5000, 12)) * lengths + random.normal(size=12)).astype(np.float32)
    vectors[:, 9:] *= 20
    items = Items(vectors, random.normal(-2, 1, 5000).astype(np.float32))
    centre = random.normal(size=12).astype(np.float32)
    promising = PromisingItems(items, [Block(centre[:9], distance), Block(centre[9:], distance / 20)])
    needed = []
    for length in (0.01, 0.1, 1, 10):
        query = (centre + random.normal(size=12) * length * ([1] * 9 + [0.05] * 3)).astype(np.float32)
        scores = (vectors @ query + items.offsets)[promising.order]
        for score in np.sort(scores)[[-1, -10, -500, 0]]:
            needed.append(promising.needed(query, score))
            assert not (scores[needed[-1] :] >= score).any()
    assert min(needed) < 500
