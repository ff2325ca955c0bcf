from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts import sorted_parquet
from fmrec.artifacts.feature_index import FeatureIndex, NameReader
from fmrec.errors import FormatError


@pytest.fixture
def index_folder(tmp_path: Path) -> Any:
    def write(files: Any) -> Any:
        for number, (columns, options) in enumerate(files):
            rows = {"column": pa.array(columns, pa.int64()), "name": [f"name {c}" for c in columns]}
            pq.write_table(pa.table(rows), tmp_path / f"part-{number:05d}.parquet", **options)
        return str(tmp_path)

    return write


def test_names_come_in_column_order_from_any_files_and_row_groups(index_folder: Any) -> None:
    folder = index_folder(
        [(range(40, 60), {"row_group_size": 7}), (range(40), {}), (range(60, 61), {}), ([], {})]
    )
    index = FeatureIndex(folder)
    assert index.names(0, 61).to_pylist() == [f"name {c}" for c in range(61)]
    assert index.names(38, 49).to_pylist() == [f"name {c}" for c in range(38, 49)]
    assert index.names(5, 5).to_pylist() == []


def test_columns_are_found_by_name_within_a_range_only(index_folder: Any) -> None:
    index = FeatureIndex(index_folder([(range(40, 60), {"row_group_size": 7}), (range(40), {})]))

    assert index.columns(["name 41", "name 3", "name 3", "nobody"], 0, 60) == {"name 3": 3, "name 41": 41}
    assert index.columns(["name 41"], 0, 40) == {}
    assert index.columns([], 0, 60) == {}


def test_only_row_groups_that_the_range_touches_are_read(
    index_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = FeatureIndex(index_folder([(range(100), {"row_group_size": 10})]))
    read = []
    iter_batches = pq.ParquetFile.iter_batches

    def watched(self: Any, size: int, groups: Any, columns: Any) -> Any:
        read.extend(groups)
        return iter_batches(self, size, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    index.names(25, 41)
    assert read == [2, 3, 4]


def test_a_stream_is_taken_in_any_amounts(index_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_parquet, "BATCH_ROWS", 4)
    reader = NameReader(FeatureIndex(index_folder([(range(23), {})])).stream(2, 21))
    assert reader.take(1).to_pylist() == ["name 2"]
    assert reader.take(0).to_pylist() == []
    assert reader.take(11).to_pylist() == [f"name {c}" for c in range(3, 14)]
    assert reader.take(99).to_pylist() == [f"name {c}" for c in range(14, 21)]
    assert reader.take(1).to_pylist() == []


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([0, 1, 3, 4, 5], "column 3 stands where 2 was expected"),
        ([0, 1, 1, 2, 3, 4], "column 1 stands where 2 was expected"),
        ([1, 0, 2, 3, 4], "column 1 stands where 0 was expected"),
        ([0, 1, 2, 3], "column 4 is missing"),
    ],
)
def test_gaps_twins_and_disorder_are_refused(index_folder: Any, columns: Any, words: Any) -> None:
    with pytest.raises(FormatError, match=words):
        FeatureIndex(index_folder([(columns, {})])).names(0, 5)


def test_what_is_no_feature_index_is_refused(tmp_path: Path, index_folder: Any) -> None:
    with pytest.raises(FormatError, match="holds no Parquet file"):
        FeatureIndex(str(tmp_path / "nowhere"))
    with pytest.raises(FormatError, match="no statistics of 'column'"):
        FeatureIndex(index_folder([(range(5), {"write_statistics": False})]))
    pq.write_table(pa.table({"column": [1]}), tmp_path / "part-00000.parquet")
    with pytest.raises(FormatError, match="no column 'name'"):
        FeatureIndex(str(tmp_path))
