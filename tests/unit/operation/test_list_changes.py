"""What a run's lists share with the champion's: against a plain count over dictionaries, and on samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmrec.operation import list_changes
from fmrec.operation.list_changes import Changes, compare_lists, hashed
from fmrec.recommendations.publish import PARQUET_SCHEMA
from fmrec.registry.champion import Champion
from tests.fixtures.manifests import manifest

Lists = Mapping[str, list[str]]
LISTS = st.dictionaries(
    st.text("uüv1", min_size=1, max_size=3),
    st.lists(st.sampled_from([f"i{n}" for n in range(9)]), unique=True, max_size=5),
    max_size=8,
)


def publish(folder: Path, run: str, lists: Lists, parts: int = 2) -> str:
    path = folder / "recommendations" / run
    path.mkdir(parents=True, exist_ok=True)
    users = list(lists)
    for part in range(parts):
        rows = [
            (user, rank + 1, item, 0.5, run)
            for user in users[part::parts]
            for rank, item in enumerate(lists[user])
        ]
        columns = list(zip(*rows, strict=True)) if rows else [()] * 5
        table = pa.table([pa.array(column, field.type) for column, field in zip(columns, PARQUET_SCHEMA, strict=True)],
                         schema=PARQUET_SCHEMA)  # fmt: skip
        pq.write_table(table, path / f"part-{part:05d}.parquet", row_group_size=3)
    return f"{path}/"


def compare(folder: Path, before: Lists, now: Lists, items: int = 10, sample: int = 1000) -> Changes:
    for run, lists in (("r-1", before), ("r-2", now)):
        where = folder / "encoded" / run
        where.mkdir(parents=True, exist_ok=True)
        (where / "manifest.json").write_text(manifest(run, max(len(lists), 1), items).to_json())
    publish(folder, "p-1", before)
    record = folder / "champion/model.json"
    record.parent.mkdir(exist_ok=True)
    serves = Champion(
        "r-1",
        "recommend",
        "r-1",
        "s3://b/m",
        str(folder / "encoded/r-1/manifest.json"),
        "",
        execution_arn="arn:x:p-1",
    )
    record.write_text(json.dumps(asdict(serves)))
    return compare_lists(
        lists_uri=publish(folder, "r-2", now),
        manifest_uri=str(folder / "encoded/r-2/manifest.json"),
        champion_uri=str(record),
        sample=sample,
    )


def test_lists_are_compared_user_by_user(tmp_path: Path) -> None:
    before = {"a": ["1", "2"], "b": ["1", "2"], "c": ["3", "4"], "gone": ["9"]}
    now = {"a": ["1", "2"], "b": ["2", "1"], "c": ["3", "5", "6", "7"], "new": ["8"]}
    found = compare(tmp_path, before, now)
    assert (found.before, found.users, found.sampled) == ("p-1", 3, False)
    assert found.overlap == pytest.approx((1 + 1 + 1 / 4) / 3)
    assert found.unchanged == pytest.approx(1 / 3)
    assert (found.coverage, found.coverage_before) == (0.7, 0.5)
    assert found.sentence == (
        "33.3% of 3 users have the same list as from the champion; on average 75.0% of a list stayed. The lists name "
        "70.0% of the items, the champion's named 50.0%."
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LISTS, LISTS)
def test_any_two_runs_are_compared_as_by_hand(tmp_path: Path, before: Lists, now: Lists) -> None:
    found = compare(tmp_path, before, now)
    both = [user for user in now if now[user] and before.get(user)]
    shares = [
        len(set(now[user]) & set(before[user])) / max(len(now[user]), len(before[user])) for user in both
    ]
    assert found.users == len(both) or not any(before.values())
    if found.users:
        assert found.overlap == pytest.approx(sum(shares) / len(both))
        assert found.unchanged == pytest.approx(sum(now[user] == before[user] for user in both) / len(both))
    assert found.coverage == len({item for items in now.values() for item in items}) / 10
    json.dumps(found.to_document(), allow_nan=False)


@pytest.mark.slow
def test_a_sample_has_the_same_users_in_both_runs_and_says_so(tmp_path: Path) -> None:
    before = {f"user-{n}": ["1", "2"] for n in range(4000)}
    now = {user: ["1", "3"] if n % 2 else ["1", "2"] for n, user in enumerate(reversed(before))}
    found = compare(tmp_path, before, now, sample=1000)
    assert found.sampled
    assert found.users == pytest.approx(1000, rel=0.15)
    assert found.unchanged == pytest.approx(0.5, abs=0.06)
    assert found.overlap == pytest.approx(0.75, abs=0.03)
    assert "users (a sample) have" in found.sentence
    assert found.coverage == 0.3


@given(st.lists(st.text(max_size=12), max_size=20), st.integers(0, 5))
def test_a_hash_follows_the_text_alone(texts: list[str], skipped: int) -> None:
    alone = [hashed(pa.array([text], pa.string()))[0] for text in texts]
    assert hashed(pa.array(texts, pa.string())).tolist() == alone
    assert hashed(pa.array(texts, pa.string()).slice(skipped)).tolist() == alone[skipped:]
    assert len(set(alone)) == len(set(texts))


def test_hashes_of_like_ids_are_spread_evenly() -> None:
    values = hashed(pa.array([f"{n:09d}" for n in range(100_000)]))
    assert len(np.unique(values)) == 100_000
    shares = np.histogram(values.astype(np.float64), bins=16, range=(0, 2.0**64))[0] / len(values)
    assert shares == pytest.approx(np.full(16, 1 / 16), rel=0.05)


def test_what_can_t_be_compared_is_said(tmp_path: Path) -> None:
    compare(tmp_path, {"a": ["1"]}, {"a": ["1"]})
    given: dict[str, Any] = {
        "lists_uri": f"{tmp_path}/recommendations/r-2/",
        "manifest_uri": str(tmp_path / "encoded/r-2/manifest.json"),
    }
    record = tmp_path / "champion/model.json"
    own = json.loads(record.read_text()) | {"execution_arn": "arn:x:r-2"}
    record.write_text(json.dumps(own))
    assert "this run's own" in compare_lists(**given, champion_uri=str(record)).sentence
    record.write_text(json.dumps(own | {"execution_arn": "arn:x:long-ago"}))
    gone = compare_lists(**given, champion_uri=str(record))
    assert "recommendations/long-ago/ any more" in gone.sentence
    assert (gone.before, gone.overlap, gone.coverage) == ("", None, 0.1)
    first = compare_lists(**given, champion_uri=str(tmp_path / "champion/none.json"))
    assert first.sentence == (
        "The lists name 10.0% of the items. No model served this data set before, so there are no lists to compare "
        "with."
    )


def test_no_user_in_common(tmp_path: Path) -> None:
    found = compare(tmp_path, {"a": ["1"]}, {"b": ["1"]})
    assert (found.users, found.overlap) == (0, None)
    assert found.sentence == "No user has a list of this run and of p-1, from which the champion serves."


def test_memory_follows_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_changes, "BATCH_ROWS", 50)
    lists = {f"user-{n}": ["1", "2"] for n in range(1000)}
    folder = publish(tmp_path, "r", lists)
    read = list_changes._read(folder, 0.01)
    assert read.read == 2000
    assert read.table.num_rows < 80
    assert len(read.items) == 2
