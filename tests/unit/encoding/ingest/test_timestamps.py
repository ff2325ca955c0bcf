"""Times as files write them, against Python's own reading of the same moment."""

import datetime
import email.utils
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.ingest.timestamps import seconds_of

Read = Callable[..., list[float | None]]


@pytest.fixture
def read(spark: SparkSession) -> Read:
    spark.conf.set("spark.sql.session.timeZone", "UTC")

    def run(
        texts: list[str], timestamp_format: str, decimal: str = ".", timezone: str = "UTC"
    ) -> list[float | None]:
        frame = spark.createDataFrame(pa.table({"at": range(len(texts)), "text": texts}))
        seconds = seconds_of(F.col("text"), timestamp_format, decimal, timezone)
        return [row[1] for row in frame.select("at", seconds).sort("at").collect()]

    return run


def moment(iso8601: str) -> float:
    return datetime.datetime.fromisoformat(iso8601).timestamp()


NOT_TIMES = ["", "now", "today", "yesterday", "12:00:00", "T12:00:00", "12:00", "99:00:00"]
TIMES: list[tuple[str, str, str]] = [
    ("iso8601", "2020", "2020-01-01T00:00+00:00"),
    ("iso8601", "2020-07-02", "2020-07-02T00:00+00:00"),
    ("iso8601", " 2020-07-02 03:04:05.25 ", "2020-07-02T03:04:05.25+00:00"),
    ("iso8601", "2020-07-02T03:04:05Z", "2020-07-02T03:04:05+00:00"),
    ("iso8601", "2020-07-02T03:04:05+02:00", "2020-07-02T03:04:05+02:00"),
    ("iso8601", "2020-07-02T03:04-05:30", "2020-07-02T03:04-05:30"),
    ("iso8601", "2020-07-02T03:04Z", "2020-07-02T03:04+00:00"),
    ("rfc2822", "Sat, 28 Nov 2026 15:00:40 +0000", "2026-11-28T15:00:40+00:00"),
    ("rfc2822", "8 Nov 2026 15:00 GMT", "2026-11-08T15:00+00:00"),
    ("rfc2822", "Sun,  8 Nov 2026 15:00:40 -0800 (PST)", "2026-11-08T15:00:40-08:00"),
    ("rfc2822", "Sun, 08 Nov 2026 15:00:40 EST", "2026-11-08T15:00:40-05:00"),
    ("dd-MMM-yyyy", "01-Jan-1995", "1995-01-01T00:00+00:00"),
    ("dd-MMM-yyyy", "05-FEB-1996", "1996-02-05T00:00+00:00"),
    ("M/d/yyyy H:mm", "12/1/2010 8:26", "2010-12-01T08:26+00:00"),
    ("M/d/yyyy h:mm:ss a", "11/11/2019 9:05:58 PM", "2019-11-11T21:05:58+00:00"),
    ("EEE MMM d HH:mm:ss Z yyyy", "Sat Nov 28 15:00:40 +0200 2026", "2026-11-28T15:00:40+02:00"),
    ("EEEE, d MMMM yyyy", "Saturday, 28 November 2026", "2026-11-28T00:00+00:00"),
    ("dd/MMM/yyyy:HH:mm:ss Z", "10/Oct/2000:13:55:36 -0700", "2000-10-10T13:55:36-07:00"),
    ("yyyyMMdd", "20200702", "2020-07-02T00:00+00:00"),
    ("yyyy.MM.dd'T'HH:mm[:ss][.SSS]XXX", "2020.07.02T03:04+01:00", "2020-07-02T03:04+01:00"),
]


def test_each_format_reads_its_times_and_nothing_else(read: Read) -> None:
    for timestamp_format in dict.fromkeys(entry[0] for entry in TIMES):
        mine = [entry for entry in TIMES if entry[0] == timestamp_format]
        found = read([text for _, text, _ in mine] + NOT_TIMES, timestamp_format)
        assert found == [moment(expected) for _, _, expected in mine] + [None] * len(NOT_TIMES)


@pytest.mark.parametrize(
    ("unit", "text", "seconds"),
    [
        ("seconds", "1600000000", 1.6e9), ("milliseconds", "1600000000500", 1600000000.5),
        ("microseconds", "1600000000500000", 1600000000.5), ("nanoseconds", "1600000000500000000", 1600000000.5),
    ],
)  # fmt: skip
def test_numbers_count_units_since_1970(unit: str, text: str, seconds: float, read: Read) -> None:
    assert read([text, f" {text} ", "500d", "0x1p9", "1_0", "inf", ""], unit) == [seconds] * 2 + [None] * 5


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_a_time_zone_holds_where_the_text_names_none(zone: str, read: Read) -> None:
    local = [datetime.datetime(2020, month, 2, 3, 4, 5, tzinfo=ZoneInfo(zone)) for month in (1, 7)]
    expected = [at.timestamp() for at in local]
    plain = [at.strftime("%Y-%m-%d %H:%M:%S") for at in local]
    assert read(plain, "iso8601", timezone=zone) == expected
    assert read([f"{text}Z" for text in plain], "iso8601", timezone=zone) == read(plain, "iso8601")
    american = [at.strftime("%m/%d/%Y %H:%M:%S") for at in local]
    assert read(american, "M/d/yyyy HH:mm:ss", timezone=zone) == expected
    assert read([at.isoformat() for at in local], "yyyy-MM-dd'T'HH:mm:ssXXX", timezone=zone) == expected
    assert read([email.utils.format_datetime(at) for at in local], "rfc2822", timezone=zone) == expected


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.datetimes(
            datetime.datetime(1970, 1, 1), datetime.datetime(2099, 12, 31), timezones=st.just(datetime.UTC)
        ),
        max_size=20,
    )
)
def test_any_moment_is_read_back_as_python_wrote_it(
    spark: SparkSession, moments: list[datetime.datetime]
) -> None:
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    columns = {
        "iso8601": [at.isoformat() for at in moments],
        "rfc2822": [email.utils.format_datetime(at) for at in moments],
        "dd-MMM-yyyy HH:mm:ss.SSSSSS": [at.strftime("%d-%b-%Y %H:%M:%S.%f") for at in moments],
    }
    frame = spark.createDataFrame(pa.table({"at": range(len(moments)), **columns}))
    read = (
        frame.select("at", *[seconds_of(F.col(f"`{name}`"), name) for name in columns]).sort("at").collect()
    )
    for at, (_, iso, mail, pattern) in zip(moments, read, strict=True):
        assert iso == pattern == pytest.approx(at.timestamp(), abs=1e-6)
        assert mail == at.replace(microsecond=0).timestamp()
