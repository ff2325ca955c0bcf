"""Parquet files as pandas and others write them, of different types in one folder."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.errors import InputError

Take = Callable[..., Any]
PARQUET = {"path": ".", "format": "parquet"}
TIME = datetime.datetime(2020, 7, 2, 3, 4, 5, 250_000, tzinfo=datetime.UTC)


def write(path: Path, **columns: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_times_of_every_unit_are_read(take: Take, tmp_path: Path) -> None:
    """A file each."""
    kinds = [(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC", "Asia/Tokyo")]
    for at, (unit, zone) in enumerate(kinds):
        times = pa.array([TIME if zone else TIME.replace(tzinfo=None)] * 2, pa.timestamp(unit, zone))
        users = [f"{unit}, {zone}"] * 2
        write(
            tmp_path / f"raw/{at}.parquet", user_id=users, item_id=["x", "y"], rating=[5, 4], timestamp=times
        )
    source = PARQUET | {"timestamp_format": "iso8601"}
    assert take(tmp_path / "raw", interactions=source).rows == [
        (f"{unit}, {zone}", item, rating, TIME.timestamp())
        for unit, zone in kinds
        for item, rating in (("x", 5.0), ("y", 4.0))
    ]
    rows = take(tmp_path / "raw", interactions=source | {"timezone": "Europe/Berlin"}).rows
    assert [(row[0], row[3]) for row in rows[::2]] == [
        (f"{unit}, {zone}", TIME.timestamp() - (0 if zone else 7200)) for unit, zone in kinds
    ]


def test_nanoseconds_in_a_column_that_is_not_used_do_not_matter(take: Take, tmp_path: Path) -> None:
    other = pa.array([1, 2], pa.timestamp("ns"))
    write(
        tmp_path / "raw/r.parquet",
        user_id=[1, 2],
        item_id=[3, 4],
        rating=[5, 4],
        timestamp=[6, 7],
        other=other,
    )
    assert take(tmp_path / "raw", interactions=PARQUET).pairs == [("1", "3"), ("2", "4")]


def test_each_file_is_read_by_its_own_types(take: Take, tmp_path: Path) -> None:
    rows = [
        {"user_id": pa.array([7, 8], pa.int64()), "rating": pa.array([5, 4], pa.int8())},
        {"user_id": pa.array(["7", "9"]), "rating": pa.array([5.0, 3.5])},
        {"user_id": pa.array([7.0, None]), "rating": pa.array(["1", "2"])},
        {
            "user_id": pa.array([b"7", b"8"], pa.binary()),
            "rating": pa.array([Decimal("2.5"), Decimal("3.5")]),
        },
        {"user_id": pa.array(["7", "8"]).dictionary_encode(), "rating": pa.array([1, 2], pa.uint16())},
        {"user_id": pa.array([7, 8], pa.int32()), "rating": pa.array([1, 2], pa.float32())},
    ]
    for at, columns in enumerate(rows):
        write(tmp_path / f"raw/{at}.parquet", item_id=["x", "y"], timestamp=[1, 2], **columns)
    found = take(tmp_path / "raw", interactions=PARQUET)
    assert [row[0] for row in found.rows] == ["7", "8", "7", "9", "7", "7", "8", "7", "8", "7", "8"]
    assert [row[2] for row in found.rows] == [5, 4, 5, 3.5, 1, 2.5, 3.5, 1, 2, 1, 2]
    assert found.bad == [("2.parquet", 2, "user_id", "missing user")]


def test_columns_may_be_in_any_order_and_optional_ones_missing(take: Take, tmp_path: Path) -> None:
    write(tmp_path / "raw/a.parquet", user_id=["1"], item_id=["x"], rating=[5], timestamp=[1])
    write(tmp_path / "raw/b.parquet", device=["ios"], timestamp=[2], rating=[4], item_id=["y"], user_id=["2"])
    features = [{"name": "device", "of": "interaction"}]
    found = take(tmp_path / "raw", interactions=PARQUET, features=features)
    assert found.rows == [("1", "x", 5.0, 1.0, None), ("2", "y", 4.0, 2.0, "ios")]
    write(tmp_path / "raw/c.parquet", user_id=["1"], item=["x"], rating=[5], timestamp=[1])
    with pytest.raises(
        InputError, match=r"c\.parquet lacks the column 'item_id' \(item\); its columns are 'user_id'"
    ):
        take(tmp_path / "raw", interactions=PARQUET, features=features)


def test_names_with_dots_reach_into_structs_and_folders_name_columns(take: Take, tmp_path: Path) -> None:
    write(
        tmp_path / "raw/r.parquet",
        who=[{"id": "a", "n": 1}, {"id": "b", "n": 2}], tags=[["p", "q"], []], item_id=["x", "y"], rating=[5, 4],
    )  # fmt: skip
    source = PARQUET | {"columns": {"user": "who.id", "item": "item_id", "value": "rating"}}
    features = [{"name": name, "of": "interaction", "column": name} for name in ("who.n", "tags")]
    found = take(tmp_path / "raw", interactions=source, features=features)
    assert found.rows == [("a", "x", 5.0, 0.0, "1", '["p","q"]'), ("b", "y", 4.0, 0.0, "2", "[]")]
    for day in ("2020-01-01", "2020-01-02"):
        write(
            tmp_path / f"days/day={day}/r.parquet".replace("days/day", "day"),
            user_id=[day],
            item_id=["x"],
            rating=[1],
        )
    source = PARQUET | {"columns": {"user": "user_id", "item": "item_id", "value": "rating"}}
    assert len(take(tmp_path, interactions=source | {"path": "day=*"}).rows) == 2


def test_times_in_another_unit_than_declared_are_recognised(take: Take, tmp_path: Path) -> None:
    write(tmp_path / "raw/r.parquet", user_id=[1], item_id=[2], rating=[5], timestamp=[1_600_000_000_000])
    with pytest.raises(
        InputError, match=r"'timestamp' looks like milliseconds, e\.g\. '1600000000000': set interactions"
    ):
        take(tmp_path / "raw", interactions=PARQUET)
    write(tmp_path / "raw/r.parquet", user_id=[1], item_id=[2], rating=[5], timestamp=pa.array([TIME]))
    with pytest.raises(InputError, match=r"looks like iso8601, e\.g\. '2020-07-02"):
        take(tmp_path / "raw", interactions=PARQUET)


OF_EVERY_TYPE: dict[str, Any] = {
    "nanoseconds": pa.array([1, None], pa.timestamp("ns")),
    "nanoseconds of a day": pa.array([1, None], pa.time64("ns")),
    "seconds of a day": pa.array([1, None], pa.time32("s")),
    "duration": pa.array([1, None], pa.duration("ns")),
    "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
    "half": pa.array([1.5, None], pa.float16()),
    "decimal of 60 digits": pa.array([Decimal("1.5"), None], pa.decimal256(60, 2)),
    "nothing": pa.nulls(2),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "list of structs": pa.array([[{"a": 1}], None]),
    "nested nanoseconds": pa.array([{"at": 1}, None], pa.struct([("at", pa.timestamp("ns"))])),
    "bytes": pa.array([b"\xff", None]),
    "fixed bytes": pa.array([b"\xff\x00", None], pa.binary(2)),
    "category": pa.array(["a", None]).dictionary_encode(),
}


def test_columns_of_any_type_that_are_not_used_do_not_matter(take: Take, tmp_path: Path) -> None:
    ids = {"user_id": [1, 2], "item_id": [3, 4], "rating": [5, 4], "timestamp": [6, 7]}
    write(tmp_path / "raw/all.parquet", **ids, **OF_EVERY_TYPE)
    assert take(tmp_path / "raw", interactions=PARQUET).pairs == [("1", "3"), ("2", "4")]


def test_context_of_any_type_is_a_text_or_a_sentence(take: Take, tmp_path: Path) -> None:
    """No type ends in a traceback of Spark's."""
    ids = {"user_id": [1, 2], "item_id": [3, 4], "rating": [5, 4], "timestamp": [6, 7]}
    write(tmp_path / "raw/all.parquet", **ids, **OF_EVERY_TYPE)
    found: dict[str, str | None] = {}
    names = list(OF_EVERY_TYPE)
    while names:
        features = [{"name": name, "of": "interaction"} for name in names]
        try:
            rows = take(tmp_path / "raw", interactions=PARQUET, features=features).rows
        except InputError as error:
            refused = [name for name in names if repr(name) in str(error)]
            if not refused:
                raise
            found |= dict.fromkeys(refused)
            names = [name for name in names if name not in refused]
        else:
            assert all(text is None for text in rows[1][4:])
            found |= dict(zip(names, rows[0][4:], strict=True))
            break
    assert found["unsigned"] == "18446744073709551615"
    assert found["category"] == "a"
    assert found["bytes"] == "\ufffd"
    assert {name for name, text in found.items() if text is None} == {
        "nanoseconds of a day", "seconds of a day", "duration", "half", "decimal of 60 digits", "nothing", "nested nanoseconds",
    }  # fmt: skip


def test_rows_whose_ids_are_no_text_are_quarantined(take: Take, tmp_path: Path) -> None:
    users = pa.array([b"1", b"D\xe9j\xe0", "é".encode()])
    write(tmp_path / "raw/r.parquet", user_id=users, item_id=["x"] * 3, rating=[5] * 3, timestamp=[6] * 3)
    taken = take(tmp_path / "raw", interactions=PARQUET)
    assert taken.pairs == [("1", "x"), ("é", "x")]
    assert taken.bad == [("r.parquet", 2, None, "invalid UTF-8")]
    with pytest.raises(InputError, match=r"1 invalid UTF-8.*; invalid UTF-8: write texts as UTF-8"):
        take(tmp_path / "raw", max_share=0.1, interactions=PARQUET)
