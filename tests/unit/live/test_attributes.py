"""Attributes of items as the encoding has them, and requests that filter by them through the routes."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts.encoded_run import open_encoded
from fmrec.errors import InputError
from fmrec.live import attributes
from fmrec.live.attributes import EncodedAttributes
from tests.fixtures.api_calls import Api
from tests.fixtures.small_runs import SmallRun

GENRES = ["comedy", "crime, true", "drama"]


def genres_of(item: int) -> list[int]:
    return sorted({item % 3, (item // 4) % 3}) if item != 7 else []


@pytest.fixture
def run(small_run: SmallRun) -> SmallRun:
    """The small run once more, whose items have genres, a colour of one value each, and a price."""
    encoded = small_run.folder / "encoded/r1"
    manifest = json.loads((encoded / "manifest.json").read_text())
    items, start = manifest["ranges"]["item"]
    features = [
        {"name": "genre", "of": "item", "kind": "multi-valued"},
        {"name": "price", "of": "item", "kind": "numeric"},
        {"name": "colour", "of": "item"},
        {"name": "device", "of": "interaction"},
    ]
    ranges = {"genre": [start, start + 3], "price": [start + 3, start + 4]}
    ranges |= {"colour": [start + 4, start + 6], "device": [start + 6, start + 7]}
    manifest["ranges"] |= ranges
    manifest |= {"feature_dim": start + 7, "dataset": {"features": features}}
    manifest["details"] = {"side_features": {"item": "item_features/"}}
    (encoded / "manifest.json").write_text(json.dumps(manifest))
    names = [("genre", genre) for genre in GENRES]
    names += [("price", "price"), ("colour", "blue"), ("colour", "red"), ("device", "phone")]
    index = {
        "column": pa.array(range(start, start + 7), pa.int64()),
        "namespace": [namespace for namespace, _ in names],
        "name": [name for _, name in names],
        "interactions": pa.array([1] * 7, pa.int64()),
    }
    pq.write_table(pa.table(index), encoded / "feature_index/part-00009.parquet")
    rows = [
        [items + n, *(start + genre for genre in genres_of(n)), start + 3, start + 4 + n % 2]
        for n in range(start - items)
    ]
    folder = encoded / "item_features"
    folder.mkdir()
    table = {
        "column": pa.array(range(items, start), pa.int64()),
        "columns": pa.array(rows, pa.list_(pa.int64())),
        "values": pa.array([[1.0] * len(row) for row in rows], pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(table), folder / "part-00000.parquet", row_group_size=5)
    return small_run


def test_items_have_the_encodings_side_features_that_are_names(
    run: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attributes, "BLOCK_ITEMS", 5)
    found = EncodedAttributes(open_encoded(run.manifest_uri))
    assert list(found) == ["genre", "colour"]
    genre = found["genre"]
    assert genre.values.to_pylist() == GENRES
    assert [genre.of.of(n).tolist() for n in range(12)] == [genres_of(n) for n in range(12)]
    assert found["colour"].items_with(["red"]).tolist() == [n % 2 == 1 for n in range(12)]
    assert found.get("price") is None
    monkeypatch.setattr(attributes, "MAXIMUM_VALUES", 20)
    with pytest.raises(InputError, match="the items have more than 20 values of attributes"):
        EncodedAttributes(open_encoded(run.manifest_uri))["colour"]


def test_a_run_without_side_features_of_items_has_none(small_run: SmallRun) -> None:
    assert not EncodedAttributes(open_encoded(small_run.manifest_uri))


def test_every_list_is_filtered_by_attributes_and_never_shows_what_was_seen(
    run: SmallRun, dynamodb: Any, table: str
) -> None:
    api, ids = Api.over(run, table, dynamodb), run.item_ids
    user = next(u for u in range(3, 23) if 2 < len(run.seen.of(u)) < 6)
    seen = {ids[item] for item in run.seen.of(user)}

    def listed(method: str, path: str, body: Any = None, **query: str) -> list[int]:
        status, _, found = api.ask(method, path, body, query | {"n": "12"} if body is None else None)
        assert status == 200, found
        assert not seen & {item["item_id"] for item in found["items"]} or "users" not in path
        return sorted(ids.index(item["item_id"]) for item in found["items"])

    red_crime = [n for n in range(12) if n % 2 and 1 in genres_of(n)]
    query = {"where": "genre:crime\\, true,colour:red"}
    assert listed("GET", "/popular", **query) == red_crime
    unseen = [n for n in red_crime if ids[n] not in seen]
    assert listed("GET", f"/users/{run.user_ids[user]}/recommendations", **query) == unseen
    neither = [n for n in range(12) if not {0, 2} & set(genres_of(n)) and n != 3]
    assert listed("GET", f"/items/{ids[3]}/similar", where_not="genre:comedy,genre:drama") == neither
    body = {"history": [{"item_id": ids[0]}], "n": 12, "where": {"genre": ["crime, true"]}}
    body |= {"where_not": {"colour": ["blue", "no such"]}, "maximum_per": {"genre": 1}, "diversity": 0.5}
    chosen = listed("POST", "/recommendations", body)
    assert set(chosen) < set(red_crime)
    assert len(chosen) == 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"where": "comedy"}, "where has 'comedy': expected attribute:value"),
        ({"where": "genre:"}, "where has 'genre:'"),
        ({"where": "genre:opera"}, "no item has genre 'opera': expected one of comedy, crime, true, drama"),
        ({"where_not": "price:1"}, "where_not names the attribute 'price': expected one of genre, colour"),
        ({"maximum_per": "genre:0"}, "maximum_per.genre is '0': expected an integer from 1 to 500"),
        ({"maximum_per": "genre:many"}, "maximum_per.genre is 'many'"),
        ({"where": ",".join(f"genre:{n}" for n in range(101))}, "where has 101 values of 'genre'"),
        ({"where": ",".join(f"a{n}:1" for n in range(11))}, "where names more than 10 attributes"),
        ({"diversity": "2"}, "less than or equal to 1"),
    ],
)
def test_filters_that_make_no_sense_are_refused(
    run: SmallRun, dynamodb: Any, table: str, query: dict[str, str], words: str
) -> None:
    api = Api.over(run, table, dynamodb)
    for path in ("/users/nobody/recommendations", "/popular"):
        status, kind, problem = api.ask("GET", path, query=query)
        assert (status, kind) == (422, "application/problem+json")
        assert words in problem["detail"]


def test_a_model_without_attributes_says_so(small_run: SmallRun, dynamodb: Any, table: str) -> None:
    api = Api.over(small_run, table, dynamodb)
    body = {"history": [{"item_id": small_run.item_ids[0]}], "maximum_per": {"genre": 2}}
    status, _, problem = api.ask("POST", "/recommendations", body)
    assert (status, problem["detail"]) == (
        422,
        "maximum_per names the attribute 'genre': items of this model have none",
    )
