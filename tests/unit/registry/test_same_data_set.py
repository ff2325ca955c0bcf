"""Other data under the name of a data set that is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts.encoded_run import open_encoded
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.errors import FormatError, InputError
from fmrec.registry import same_data_set
from fmrec.registry.same_data_set import check_same, compare, rank_correlation

Counts = Mapping[str, int]


def encoded(folder: Path, run: str, users: Counts, items: Counts) -> str:
    """Write the feature index and the manifest of an encoding; return the manifest's place."""
    size = len(users) + len(items)
    place = folder / "encoded" / run
    (place / "feature_index").mkdir(parents=True)
    table = pa.table(
        {
            "column": pa.array(range(size), pa.int64()),
            "name": [*users, *items],
            "interactions": pa.array([*users.values(), *items.values()], pa.int64()),
        }
    )
    pq.write_table(table, place / "feature_index/part-00000.parquet", row_group_size=700)
    manifest = Manifest(
        run=run,
        created="2026-11-21T10:00:00Z",
        dataset={"name": "films"},
        feature_dim=size,
        nnz_per_row=2.0,
        users=len(users),
        items=len(items),
        ranges={"user": (0, len(users)), "item": (len(users), size)},
        rows=Rows(read=10, encoded=10, train=10, test=0),
        train=Channel("train/", 10, 1, 640, 0.5),
        test=Channel("test/", 0, 0, 0, None),
    )
    (place / "manifest.json").write_text(manifest.to_json())
    return str(place / "manifest.json")


def popular(count: int, begin: str, seed: int, first: int = 1) -> dict[str, int]:
    """Ids and how often each occurs: a few very often."""
    counts = np.ceil(1000 / np.random.default_rng(seed).permutation(np.arange(1, count + 1))).astype(int)
    return {f"{begin}{first + n}": each for n, each in enumerate(counts.tolist())}


@pytest.fixture
def served(tmp_path: Path) -> str:
    """The record of a champion with 3,000 users and 1,500 items, all numbered from 1."""
    uri = encoded(tmp_path, "monday", popular(3000, "", 1), popular(1500, "", 2))
    record = tmp_path / "model.json"
    record.write_text(json.dumps({"run": "monday", "manifest_uri": uri}))
    return str(record)


def grown(counts: Counts, factor: float) -> dict[str, int]:
    return {name: int(count * factor) + len(name) for name, count in counts.items()}


def test_nothing_is_refused_where_nothing_serves_or_its_encoding_is_gone(tmp_path: Path) -> None:
    new = encoded(tmp_path, "new", popular(20, "u", 1), popular(20, "i", 1))
    check_same(new, str(tmp_path / "model.json"))
    gone = tmp_path / "gone.json"
    gone.write_text(json.dumps({"manifest_uri": str(tmp_path / "encoded/old/manifest.json")}))
    check_same(new, str(gone))
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"manifest_uri": new}))
    check_same(new, str(own))


@pytest.mark.parametrize(
    ("users", "items"),
    [
        (grown(popular(3000, "", 1), 1.2), grown(popular(1500, "", 2), 1.2)),
        # A fifth of the users; and four times as many of both.
        (popular(600, "", 1, 2000), grown(popular(1500, "", 2), 0.2)),
        (popular(3000, "", 1) | popular(60_000, "new ", 5), popular(1500, "", 2) | popular(9_000, "new ", 6)),
        # Every item is new, as with news, but users are the same; and the other way round.
        (grown(popular(3000, "", 1), 1.1), popular(900, "news ", 7)),
        (popular(900, "visitor ", 7), grown(popular(1500, "", 2), 1.1)),
        # Nothing of much weight can be said of a few items.
        (popular(50, "", 8), popular(40, "", 9)),
    ],
    ids=["later", "fewer users", "grown", "new items", "new users", "small"],
)
def test_the_same_catalogue_at_another_time_is_let_through(
    tmp_path: Path, served: str, users: Counts, items: Counts
) -> None:
    check_same(encoded(tmp_path, "new", users, items), served)


def test_ids_that_nobody_knows_are_another_catalogue(tmp_path: Path, served: str) -> None:
    new = encoded(tmp_path, "new", popular(700, "reader ", 3), popular(300, "book ", 4))
    with pytest.raises(InputError) as refused:
        check_same(new, served)
    sentence = str(refused.value)
    assert "another catalogue than the one that is served as the data set 'films'" in sentence
    assert "0% of the users and 0% of the items" in sentence
    assert '"name": "<another name>"' in sentence
    assert '"replace_catalogue": true' in sentence


def test_ids_that_are_the_same_by_chance_are_another_catalogue(tmp_path: Path, served: str) -> None:
    new = encoded(tmp_path, "new", popular(5000, "", 3), popular(4000, "", 4))
    with pytest.raises(InputError, match="the ids are the same, but how often each item and each user"):
        check_same(new, served)


def test_a_record_that_is_none_is_said_so(tmp_path: Path) -> None:
    new = encoded(tmp_path, "new", popular(20, "u", 1), popular(20, "i", 1))
    for text in ("{", "[]", "{}", "null", '"' + "9" * 5000):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(FormatError, match="is no record of the model that serves"):
            check_same(new, str(tmp_path / "model.json"))


def test_samples_come_from_all_over_the_index_and_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = {f"{n}": 1 + n % 7 for n in range(50_000)}
    old = open_encoded(encoded(tmp_path, "old", users, popular(10, "i", 1)))
    half = dict(list(users.items())[25_000:])
    new = open_encoded(encoded(tmp_path, "new", half, popular(10, "i", 1)))
    assert len(same_data_set._sample(old, "user")) == same_data_set.SAMPLE
    found = compare(old, new, "user")
    assert found.share == pytest.approx(0.5, abs=0.05)
    assert found.common <= same_data_set.SAMPLE
    assert found.correlation == pytest.approx(1)


def test_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 4000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # With ties: scipy.stats.spearmanr gives the same.
    assert rank_correlation([1, 1, 2, 3], [2, 1, 2, 5]) == pytest.approx(0.8333333)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1], [1]) is None
