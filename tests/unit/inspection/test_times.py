"""Time formats: values written in a format are recognised as it, or as one that reads the same moments."""

import datetime
import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmrec.dataset import Dataset
from fmrec.inspection.times import detect_time_format, seconds_reader

MOMENTS = st.lists(
    st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2035, 12, 31)), min_size=1, max_size=12
)
UTC = datetime.UTC

WRITERS = {
    "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S",
    "yyyy-MM-dd": "%Y-%m-%d",
    "yyyy-MM-dd'T'HH:mm:ssXXX": "%Y-%m-%dT%H:%M:%SZ",
    "yyyy/MM/dd HH:mm": "%Y/%m/%d %H:%M",
    "yyyy.MM.dd": "%Y.%m.%d",
    "dd-MMM-yyyy": "%d-%b-%Y",
    "d MMM yyyy H:mm": "%-d %b %Y %-H:%M",
    "d MMMM yyyy": "%-d %B %Y",
    "MMM d, yyyy": "%b %-d, %Y",
    "MM d, yyyy": "%m %-d, %Y",
    "EEE MMM dd HH:mm:ss Z yyyy": "%a %b %d %H:%M:%S +0000 %Y",
    "rfc2822": "%a, %d %b %Y %H:%M:%S +0000",
    "yyyyMMdd": "%Y%m%d",
    "yyyyMMddHHmmss": "%Y%m%d%H%M%S",
    "yyyy-MM-dd hh:mm:ss a": "%Y-%m-%d %I:%M:%S %p",
}
"""Formats that don't leave open which number is the month."""
DAY_OR_MONTH_FIRST = {
    "M/d/yyyy H:mm": ("%-m/%-d/%Y %-H:%M", "d/M/yyyy H:mm"),
    "d/M/yyyy H:mm": ("%-d/%-m/%Y %-H:%M", "M/d/yyyy H:mm"),
    "dd.MM.yyyy": ("%d.%m.%Y", "MM.dd.yyyy"),
    "M/d/yyyy h:mm:ss a": ("%-m/%-d/%Y %-I:%M:%S %p", "d/M/yyyy h:mm:ss a"),
    "MM-dd-yy": ("%m-%d-%y", "dd-MM-yy"),
}


def moments_of(texts: list[str], pattern: str) -> list[float]:
    plain = pattern.replace("%-", "%")
    return [datetime.datetime.strptime(text, plain).replace(tzinfo=UTC).timestamp() for text in texts]


@functools.cache
def acceptable(name: str) -> None:
    """Fail if a document may not say it."""
    columns = {"user": "u", "item": "i", "timestamp": "t"}
    interactions = {"columns": columns, "timestamp_format": name}
    Dataset.from_document({"interactions": interactions, "label": {"mode": "implicit"}})


@pytest.mark.parametrize("name", WRITERS)
@settings(deadline=None, max_examples=25)
@given(moments=MOMENTS)
def test_texts_are_read_as_they_were_written(name: str, moments: list[datetime.datetime]) -> None:
    pattern = WRITERS[name]
    texts = [moment.strftime(pattern) for moment in moments]
    found = detect_time_format(texts)
    assert found is not None
    assert found.alternative is None
    acceptable(found.name)
    read = seconds_reader(found.name)
    plain = pattern.replace("+0000", "%z").replace("%-", "%")
    expected = [datetime.datetime.strptime(text, plain).replace(tzinfo=UTC).timestamp() for text in texts]
    assert [read(text) for text in texts] == pytest.approx(expected)


@pytest.mark.parametrize("name", DAY_OR_MONTH_FIRST)
@settings(deadline=None, max_examples=25)
@given(moments=MOMENTS)
def test_day_and_month_are_told_apart_or_asked_for(name: str, moments: list[datetime.datetime]) -> None:
    pattern, other = DAY_OR_MONTH_FIRST[name]
    texts = [moment.strftime(pattern) for moment in moments]
    found = detect_time_format(texts)
    assert found is not None
    acceptable(found.name)
    readings = [
        [seconds_reader(said)(text) for text in texts] for said in (found.name, found.alternative) if said
    ]
    assert moments_of(texts, pattern) in readings
    if any(moment.day > 12 for moment in moments) and len(set(texts)) < 20:
        assert found.alternative is None, "one value in twenty could be damaged, here it decides"
        assert found.name.replace("dd", "d").replace("MM", "M").lower() != other.lower()


@pytest.mark.parametrize(
    ("name", "scale"),
    [("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)],
)
@settings(deadline=None, max_examples=25)
@given(moments=MOMENTS)
def test_numbers_show_their_unit_by_their_size(
    name: str, scale: int, moments: list[datetime.datetime]
) -> None:
    seconds = [int(moment.replace(tzinfo=UTC).timestamp()) for moment in moments]
    texts = [str(second * scale) for second in seconds]
    found = detect_time_format(texts)
    assert found is not None
    assert found.name == name
    assert [seconds_reader(name)(text) for text in texts] == pytest.approx(seconds)
    assert detect_time_format(texts, numbers=False) is None


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "2", "5"],
        ["12:00:00", "13:30:00"],
        ["U1", "I2"],
        ["2019-13-45"],
        ["1999", "2004"],
        ["99/99/2020"],
        [],
        ["31-Abc-1999"],
    ],
)
def test_other_texts_are_no_times(texts: list[str]) -> None:
    assert detect_time_format(texts) is None


def test_a_time_without_a_zone_is_said_to_be_taken_as_utc() -> None:
    found = detect_time_format(["2018-07-07 22:09:11"])
    assert found is not None
    assert (found.name, found.clock) == ("iso8601", True)
    assert "taken as UTC" in found.reason
    zoned = detect_time_format(["2019-10-01 00:00:00 UTC"])
    assert zoned is not None
    assert "with a time zone" in zoned.reason


def test_the_month_is_asked_for_where_both_readings_fit() -> None:
    found = detect_time_format(["1/2/2011 8:26", "3/4/2011 9:00"])
    assert found is not None
    assert (found.name, found.alternative) == ("M/d/yyyy H:mm", "d/M/yyyy H:mm")
