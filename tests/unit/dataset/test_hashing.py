import numpy as np
import pytest

from fmrec.dataset.hashing import hashes, units


def test_hashes_are_splitmix64_of_each_column_in_turn_and_well_mixed() -> None:
    def mixed(state: int) -> int:
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        return state ^ (state >> 31)

    gamma = 0x9E3779B97F4A7C15
    expected = [
        mixed((mixed((7 + first + gamma) % 2**64) + second + gamma) % 2**64)
        for first, second in ((1, 3), (2, 4))
    ]
    assert hashes(7, np.array([1, 2]), np.array([3, 4])).tolist() == expected
    assert mixed(gamma) == 0xE220A8397B1DCDAF  # the generator's published first output for seed 0
    shares = units(hashes(0, np.arange(100_000)))
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert np.histogram(shares, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), rel=0.05)
