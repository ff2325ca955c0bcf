"""One thread or all of them, by what they were measured to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from algorithms.factorization_machines.team_size import BLOCKS_BETWEEN, TeamSize


def chosen(threads: int, blocks: int, seconds: Callable[[int, int], float]) -> list[int]:
    """The sizes of that many blocks, where ``seconds(block, size)`` is how long one takes."""
    team_size = TeamSize(threads)
    sizes = []
    for block in range(blocks):
        size = team_size.next()
        team_size.trained(size, 100, seconds(block, size))
        sizes.append(size)
    return sizes


@pytest.mark.parametrize(("faster", "slower"), [(4, 1), (1, 4)])
def test_the_faster_size_trains_and_the_other_is_measured_now_and_then(faster: int, slower: int) -> None:
    sizes = chosen(4, 100, lambda _, size: 1.0 if size == faster else 1.5)
    assert sizes[:4] == [4, 1, 4, 1]
    again = [block for block in range(4, 100) if sizes[block] == slower]
    assert again == [16, 32, 48, 64, 80, 96]
    assert set(sizes) == {1, 4}


def test_a_first_block_that_includes_compiling_decides_nothing() -> None:
    sizes = chosen(2, 10, lambda block, size: 9.0 if block == 0 else 1.0 / size)
    assert sizes[4:] == [2] * 6


def test_a_machine_that_becomes_busy_changes_the_size_and_one_that_becomes_idle_changes_it_back() -> None:
    busy = range(20, 200)
    sizes = chosen(2, 300, lambda block, size: 8.0 if size == 2 and block in busy else 1.0 / size)
    assert set(sizes[22:200]) - {1} == {2}
    assert sizes[22:200].count(2) == len([block for block in range(22, 200) if block % BLOCKS_BETWEEN == 0])
    assert sizes[220:].count(1) == len([block for block in range(220, 300) if block % BLOCKS_BETWEEN == 0])


def test_one_thread_is_one_thread() -> None:
    assert chosen(1, 40, lambda *_: 1.0) == [1] * 40
