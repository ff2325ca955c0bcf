"""What tasks count of their rows: tallies of all tasks add up, by day and by value too."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmrec.encoding.run_manifest import days_of
from fmrec.encoding.tally import Tally, _rounded

SECONDS = st.lists(st.integers(-2_200_000_000, 7_000_000_000), max_size=50)


@given(SECONDS, SECONDS)
def test_days_of_two_tasks_are_the_days_of_their_rows(first: list[int], second: list[int]) -> None:
    tallies = [Tally(), Tally()]
    for tally, times in zip(tallies, (first, second), strict=True):
        tally.count_days(np.array(times, np.float64))
    tallies[0].add(Tally.from_json(tallies[1].to_json()))
    days = Counter(
        str((datetime.fromtimestamp(time, UTC).date() - date(1970, 1, 1)).days) for time in first + second
    )
    assert tallies[0].days == days


@given(st.lists(st.floats(-2.2e9, 7e9), max_size=50))
def test_a_fraction_of_a_second_before_midnight_is_of_the_day_before(times: list[float]) -> None:
    midnights = [86400.0 * (time // 86400) for time in times]
    found = [*times, *midnights, *(np.nextafter(midnight, -np.inf) for midnight in midnights)]
    tally = Tally()
    tally.count_days(np.array(found))
    assert tally.days == Counter(str(int(time // 86400)) for time in found)


def test_what_is_no_time_of_people_is_counted_at_the_ends() -> None:
    tally = Tally()
    tally.count_days(np.array([-1e15, 1e15, 1e15]))
    assert tally.days == {"-25567": 1, "84005": 2}


@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=False),
            st.integers(-9999, 9999).map(lambda number: number / 100),
            st.integers(-9999, 9999).map(lambda number: number / 10),
        ),
        max_size=50,
    )
)
def test_values_are_counted_as_they_are_written(values: list[float]) -> None:
    tally = Tally()
    tally.count_values(np.array(values, np.float64))
    written = Counter(f"{value + 0.0:.2g}" for value in values)
    assert tally.values == written


def test_many_values_are_few_bins() -> None:
    values = np.random.default_rng(5).uniform(1, 10, 100_000)
    assert len(np.unique(_rounded(values))) < 200


def test_values_are_counted_to_two_digits() -> None:
    tally = Tally()
    tally.count_values(np.array([4.5, 4.5, 3.0, 1234.0, 1231.0, 0.0]))
    assert tally.values == {"4.5": 2, "3": 1, "1.2e+03": 2, "0": 1}


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([20000], ("2024-10-04", "2024-10-04", 1, 0, "")),
        ([20000, 20001, 20002], ("2024-10-04", "2024-10-06", 3, 0, "")),
        ([20004, 20000, 20001], ("2024-10-04", "2024-10-08", 3, 2, "2024-10-05")),
    ],
)
def test_the_longest_time_without_rows_is_found(
    days: list[int], expected: tuple[str, str, int, int, str]
) -> None:
    found = days_of({str(day): 1 for day in days})
    assert tuple(found.values()) == expected
