"""What would train a wrong model is refused by the whole job; ``small_inputs`` has more of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts.manifest import Manifest
from fmrec.errors import InputError

Encode = Callable[[dict[str, Any], Path, Path], Manifest]
RATINGS = "user_id,item_id,rating,timestamp\n1,7,5,1600000000\n1,8,4,1600000001\n"
RATED: dict[str, Any] = {"interactions": {"path": "r.csv"}, "split": {"method": "none"}}
ITEMS = {"items": {"path": "i.csv"}}
THREE_EACH = "user_id,item_id,rating,timestamp\n" + "".join(
    f"{user},{item},5,1600000{user}{item}\n" for user in (1, 2) for item in (10, 11, 12)
)
GENRE = {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued"}


@pytest.mark.parametrize(
    ("interactions", "items", "document", "sentence"),
    [
        (THREE_EACH, None, RATED | {"split": {"method": "time-cut", "at": "2019-06-01"}}, "split.at is 2019-06-01T00:00:00Z, and times go from 2020-"),
        (RATINGS, b"item_id,genres\n007,Drama\n", RATED | ITEMS | {"features": [GENRE]}, "none of the 1 ids in 'item_id' of"),
    ],
)  # fmt: skip
def test_what_would_train_a_wrong_model_is_refused(
    interactions: str,
    items: bytes | None,
    document: dict[str, Any],
    sentence: str,
    encode_document: Encode,
    tmp_path: Path,
) -> None:
    (tmp_path / "r.csv").write_text(interactions)
    if items is not None:
        (tmp_path / "i.csv").write_bytes(items)
    with pytest.raises(InputError, match=re.escape(sentence)):
        encode_document(document, tmp_path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("t*/*.pbr"))
    assert not (tmp_path / "out/manifest.json").exists()


def test_lists_of_parquet_are_several_names(encode_document: Encode, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(RATINGS)
    table = {"item_id": ["7", "8"], "category": [["Books", "Kids & Co"], ["Books"]]}
    pq.write_table(pa.table(table), tmp_path / "m")
    feature = {"name": "category", "of": "item", "kind": "multi-valued"}
    items = {"items": {"path": "m", "format": "parquet"}, "features": [feature]}
    encode_document(RATED | items, tmp_path, tmp_path / "out")
    index = pads.dataset(tmp_path / "out/feature_index").to_table().to_pylist()
    assert [row["name"] for row in index if row["namespace"] == "category"] == ["Books", "Kids & Co"]
