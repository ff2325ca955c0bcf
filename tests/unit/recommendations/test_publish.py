import io
import json
import math
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts.embedded_run import open_run
from fmrec.errors import FormatError, InputError
from fmrec.recommendations.publish import publish
from fmrec.recommendations.table import fetch
from fmrec.storage import object_store, s3_client


def publish_part(run: Any, dynamodb: Any, table: Any, part: Any, k: Any = 5, **changes: Any) -> Any:
    run.write_neighbours(part, run.answer(part, k))
    return publish(**(run.arguments(part) | {"table": table, "dynamodb": dynamodb} | changes))


def test_every_user_gets_the_brute_force_top_n_best_first(small_run: Any, dynamodb: Any, table: Any) -> None:
    counts = [publish_part(small_run, dynamodb, table, part) for part in (0, 1)]
    assert counts == [
        {"users": 14, "recommendations": 42, "ranked_exactly": 0},
        {"users": 9, "recommendations": 27, "ranked_exactly": 0},
    ]
    for user, user_id in enumerate(small_run.user_ids):
        served = fetch(table, user_id, dynamodb)
        best = small_run.ranking(user)[:3]
        assert [r.item_id for r in served.recommendations] == [small_run.item_ids[i] for i in best]
        assert [r.rank for r in served.recommendations] == [1, 2, 3]
        products = small_run.item_vectors[best] @ small_run.user_vectors[user]
        for found, product in zip(served.recommendations, products, strict=True):
            expected = 1 / (1 + math.exp(-(product + small_run.offsets[user])))
            assert found.score == pytest.approx(expected, rel=1e-8)
        assert (served.model_version, served.run) == ("m1", "r1")


def test_regression_scores_are_not_squashed(regression_run: Any, dynamodb: Any, table: Any) -> None:
    publish_part(regression_run, dynamodb, table, 0)
    best = regression_run.ranking(0)[0]
    product = regression_run.item_vectors[best] @ regression_run.user_vectors[0]
    found = fetch(table, regression_run.user_ids[0], dynamodb).recommendations[0]
    assert found.score == pytest.approx(product + regression_run.offsets[0], rel=1e-8)


def test_parquet_holds_the_same_rows_as_the_table(small_run: Any, dynamodb: Any, table: Any) -> None:
    publish_part(small_run, dynamodb, table, 1)
    rows = pq.read_table(small_run.folder / "recommendations/r1/part-00001.parquet")
    assert rows.schema.names == ["user_id", "rank", "item_id", "score", "model_version"]
    assert rows.num_rows == 27
    assert rows["user_id"].to_pylist()[::3] == small_run.user_ids[14:]
    assert rows["rank"].to_pylist() == [1, 2, 3] * 9
    assert set(rows["model_version"].to_pylist()) == {"m1"}
    for at in range(0, 27, 3):
        served = fetch(table, rows["user_id"][at].as_py(), dynamodb)
        assert [r.item_id for r in served.recommendations] == rows["item_id"].to_pylist()[at : at + 3]
        assert [r.score for r in served.recommendations] == pytest.approx(
            rows["score"].to_pylist()[at : at + 3], rel=1e-8
        )


def test_publishing_again_replaces_and_does_not_add(small_run: Any, dynamodb: Any, table: Any) -> None:
    publish_part(small_run, dynamodb, table, 0)
    publish_part(small_run, dynamodb, table, 0, per_user=2, model_version="m2")
    assert dynamodb.scan(TableName=table)["Count"] == 14
    served = fetch(table, small_run.user_ids[3], dynamodb)
    assert len(served.recommendations) == 2
    assert served.model_version == "m2"


def test_more_users_than_one_block_and_batch(
    small_run: Any, dynamodb: Any, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmrec.recommendations.knn_output.BLOCK_BYTES", 300)
    monkeypatch.setattr("fmrec.recommendations.table.BATCH_ITEMS", 2)
    assert publish_part(small_run, dynamodb, table, 0)["users"] == 14
    assert dynamodb.scan(TableName=table)["Count"] == 14


def test_fewer_items_than_asked_for_are_all_recommended(small_run: Any, dynamodb: Any, table: Any) -> None:
    counts = publish_part(small_run, dynamodb, table, 1, k=12, per_user=50)
    assert counts == {"users": 9, "recommendations": 9 * 12, "ranked_exactly": 0}


@pytest.mark.parametrize("change", [-1, 1])
def test_a_line_too_few_or_too_many_is_refused(
    small_run: Any, dynamodb: Any, table: Any, change: Any
) -> None:
    lines = small_run.answer(0, 5)
    small_run.write_neighbours(0, lines[:-1] if change < 0 else [*lines, lines[0]])
    words = "answers 13 queries, but its part has 14 users" if change < 0 else "answers more than the 14"
    with pytest.raises(FormatError, match=words):
        publish(**small_run.arguments(0), table=table, dynamodb=dynamodb)
    assert not (small_run.folder / "recommendations/r1/part-00000.parquet").exists()


def test_too_few_neighbours_are_refused_with_the_k_to_set(small_run: Any, dynamodb: Any, table: Any) -> None:
    with pytest.raises(FormatError, match="2 neighbours a user, 3 are to be published: train k-NN with k"):
        publish_part(small_run, dynamodb, table, 0, k=2)


def test_a_part_that_does_not_exist_is_refused(small_run: Any, dynamodb: Any, table: Any) -> None:
    with pytest.raises(InputError, match=r"no query part 2: .* lists 2, from 0"):
        publish(**small_run.arguments(2), table=table, dynamodb=dynamodb)
    with pytest.raises(InputError, match="per_user is 0"):
        publish(**small_run.arguments(0, per_user=0), table=table, dynamodb=dynamodb)


def test_embeddings_of_another_run_are_refused(small_run: Any) -> None:
    path = small_run.folder / "embeddings/r1/embeddings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"items": 11}))
    with pytest.raises(FormatError, match="not of the same run"):
        open_run(small_run.manifest_uri, small_run.embeddings_uri)
    path.write_text("{}")
    with pytest.raises(FormatError, match="users is missing: expected an integer"):
        open_run(small_run.manifest_uri, small_run.embeddings_uri)


def test_offsets_of_another_length_are_refused(small_run: Any, dynamodb: Any, table: Any) -> None:
    np.save(small_run.folder / "embeddings/r1/query_offsets/part-00000.npy", np.zeros(3))
    with pytest.raises(FormatError, match=r"shape \(3,\), expected \(14,\)"):
        publish_part(small_run, dynamodb, table, 0)


def test_scores_do_not_overflow(small_run: Any) -> None:
    run = open_run(small_run.manifest_uri, small_run.embeddings_uri)
    scores = run.scores(np.array([[-800.0, 0.0, 800.0, -30.0]]), np.zeros(1))
    assert scores[0, :3].tolist() == [0.0, 0.5, 1.0]
    assert scores[0, 3] == pytest.approx(math.exp(-30), rel=1e-12)


@pytest.mark.parametrize("k", [3, 6, 12])
def test_nothing_seen_is_recommended_and_everybody_gets_n_all_the_same(
    small_run: Any, dynamodb: Any, table: Any, k: Any
) -> None:
    exact = 0
    for part in (0, 1):
        exact += publish_part(small_run, dynamodb, table, part, k=k, exclude_seen=True)["ranked_exactly"]
    assert (exact > 2) == (k < 12)
    for user, user_id in enumerate(small_run.user_ids):
        met = set(small_run.seen.of(user).tolist())
        best = [item for item in small_run.ranking(user) if item not in met][:3]
        served = fetch(table, user_id, dynamodb).recommendations
        assert [r.item_id for r in served] == [small_run.item_ids[i] for i in best]
        products = small_run.item_vectors[best] @ small_run.user_vectors[user] + small_run.offsets[user]
        assert [r.score for r in served] == pytest.approx(1 / (1 + np.exp(-products)), rel=1e-8)


def test_who_has_met_everything_is_written_with_an_empty_list(
    small_run: Any, dynamodb: Any, table: Any
) -> None:
    counts = publish_part(small_run, dynamodb, table, 0, exclude_seen=True)
    assert fetch(table, small_run.user_ids[1], dynamodb).recommendations == ()
    assert [r.item_id for r in fetch(table, small_run.user_ids[0], dynamodb).recommendations] == [
        small_run.item_ids[5]
    ]
    assert counts["users"] == 14
    rows = pq.read_table(small_run.folder / "recommendations/r1/part-00000.parquet")
    assert rows.num_rows == counts["recommendations"] == 1 + 12 * 3
    assert small_run.user_ids[1] not in rows["user_id"].to_pylist()


def test_filters_hold_for_every_user(small_run: Any, dynamodb: Any, table: Any) -> None:
    denied = small_run.item_ids[:6]
    counts = publish_part(small_run, dynamodb, table, 0, filters={"deny": denied})
    assert counts["recommendations"] == 14 * 3
    for user, user_id in enumerate(small_run.user_ids[:14]):
        best = [item for item in small_run.ranking(user) if item >= 6][:3]
        served = fetch(table, user_id, dynamodb).recommendations
        assert [r.item_id for r in served] == [small_run.item_ids[i] for i in best]


def test_a_run_in_s3_is_published_like_one_on_disk(
    small_run: Any, dynamodb: Any, table: Any, emulator_url: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": emulator_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_REQUIRED",
    }.items():
        monkeypatch.setenv(name, value)
    s3_client.forget_client()
    try:
        bucket = f"s3://{table.lower()}"
        boto3.client("s3").create_bucket(Bucket=table.lower())
        small_run.write_neighbours(1, small_run.answer(1, 4))
        for stored in object_store.list_objects(str(small_run.folder)):
            key = Path(stored.uri).relative_to(small_run.folder).as_posix()
            object_store.write_bytes(f"{bucket}/{key}", object_store.read_bytes(stored.uri))
        uris = {
            name: f"{bucket}/{Path(uri).relative_to(small_run.folder).as_posix()}"
            for name, uri in small_run.arguments(1).items()
            if name.endswith("_uri")
        }
        counts = publish(**(small_run.arguments(1) | uris), table=table, exclude_seen=True)
        rows = pq.read_table(
            io.BytesIO(object_store.read_bytes(f"{bucket}/recommendations/r1/part-00001.parquet"))
        )
    finally:
        s3_client.forget_client()
    assert counts["users"] == 9
    assert counts["ranked_exactly"] > 0
    assert rows.num_rows == counts["recommendations"] == 27
    for at, user in enumerate(range(14, 23)):
        best = [item for item in small_run.ranking(user) if item not in set(small_run.seen.of(user).tolist())]
        assert rows["item_id"].to_pylist()[3 * at : 3 * at + 3] == [small_run.item_ids[i] for i in best[:3]]
