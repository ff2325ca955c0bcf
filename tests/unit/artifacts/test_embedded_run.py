import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts.embedded_run import open_run
from fmrec.errors import FormatError, InputError


@pytest.fixture
def run(small_run: Any) -> Any:
    return open_run(small_run.manifest_uri, small_run.embeddings_uri)


def test_vectors_come_by_ordinal(run: Any, small_run: Any) -> None:
    assert np.array_equal(run.item_vectors(), small_run.item_vectors)
    assert np.array_equal(run.query_vectors(run.query_parts[1]), small_run.user_vectors[14:])
    assert np.array_equal(
        run.queries_of(np.array([20, 3, -1])), [*small_run.user_vectors[[20, 3]], np.zeros(run.dim)]
    )
    assert np.array_equal(run.offsets(run.query_parts[0]), small_run.offsets[:14])


@pytest.mark.parametrize(("start", "end"), [(0, 23), (5, 9), (14, 23), (2, 3), (4, 4)])
def test_seen_items_come_by_range_of_users(run: Any, small_run: Any, start: Any, end: Any) -> None:
    found = run.seen(start, end)
    expected = [small_run.seen.of(user).tolist() for user in range(start, end)]
    assert [found.of(user).tolist() for user in range(end - start)] == expected
    liked = run.liked(start, end)
    assert [liked.of(user).tolist() for user in range(end - start)] == [
        [i for i in items if (i + user) % 2 == 0] for user, items in enumerate(expected, start)
    ]
    both = run.seen_and_liked(start, end)
    assert [[each.of(user).tolist() for user in range(end - start)] for each in both] == [
        [each.of(user).tolist() for user in range(end - start)] for each in (found, liked)
    ]


def test_seen_items_outside_the_manifests_range_are_refused(run: Any, small_run: Any) -> None:
    pairs = pa.table({"user_column": [0], "item_column": [35]})
    pq.write_table(pairs, small_run.folder / "encoded/r1/seen/part-00000.parquet")
    with pytest.raises(FormatError, match=r"item column outside \(23, 35\)"):
        run.seen(0, 23)


def test_seen_items_without_word_on_who_liked_them_are_refused_where_it_matters(
    run: Any, small_run: Any
) -> None:
    pairs = pa.table({"user_column": [0], "item_column": [25]})
    pq.write_table(pairs, small_run.folder / "encoded/r1/seen/part-00000.parquet")
    assert run.seen(0, 23).of(0).tolist() == [2]
    with pytest.raises(FormatError, match="no column 'relevant'; encode the data again"):
        run.liked(0, 23)
    with pytest.raises(FormatError, match="no column 'relevant'; encode the data again"):
        run.seen_and_liked(0, 23)


def test_a_run_encoded_without_heldout_is_refused(run: Any) -> None:
    with pytest.raises(FormatError, match="heldout/ holds no Parquet file: encode the data again"):
        run.relevant(0, 23)


def test_vectors_of_another_run_are_refused(small_run: Any) -> None:
    path = small_run.folder / "embeddings/r1/embeddings.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"dim": 5}))
    with pytest.raises(FormatError, match="dense vectors of 5 values"):
        open_run(small_run.manifest_uri, small_run.embeddings_uri).item_vectors()
    path.write_text(json.dumps(document | {"item_parts": []}))
    with pytest.raises(FormatError, match="item 0 has no vector"):
        open_run(small_run.manifest_uri, small_run.embeddings_uri).item_vectors()
    document["query_parts"][0]["rows"] = 13
    path.write_text(json.dumps(document))
    run = open_run(small_run.manifest_uri, small_run.embeddings_uri)
    with pytest.raises(FormatError, match=r"has 14 queries, .* says 13"):
        run.query_vectors(run.query_parts[0])


def test_users_and_parts_that_do_not_exist_are_refused(run: Any) -> None:
    with pytest.raises(InputError, match="no user 23"):
        run.query_record(23)
    with pytest.raises(InputError, match="no query part -1"):
        run.query_part(-1)


def test_blocks_of_dimensions_are_those_that_the_export_wrote(small_run: Any) -> None:
    path = small_run.folder / "embeddings/r1/embeddings.json"
    document = json.loads(path.read_text())
    earlier = open_run(small_run.manifest_uri, small_run.embeddings_uri)
    assert (earlier.machine_factors, earlier.pick_weights()) == (None, None)

    beside = {"weight": 0.3, "factors": 1, "pick_weights_key": "pick_weights.npy"}
    blocks = {"machine_factors": [document["dim"] - 2], "co_occurrence": beside}
    path.write_text(json.dumps(document | blocks))
    weights = np.arange(small_run.item_vectors.shape[0], dtype=np.float32)
    np.save(path.with_name("pick_weights.npy"), weights)
    run = open_run(small_run.manifest_uri, small_run.embeddings_uri)
    assert run.machine_factors == (document["dim"] - 2,)
    found = run.pick_weights()
    assert found is not None
    assert np.array_equal(found, weights)

    np.save(path.with_name("pick_weights.npy"), weights[:-1])
    with pytest.raises(FormatError, match=r"has shape \(\d+,\), expected \(\d+,\): one weight an item"):
        run.pick_weights()
    path.write_text(json.dumps(document | {"machine_factors": [3, 4]}))
    with pytest.raises(FormatError, match=r"machine_factors is .*: expected the factors of each machine"):
        open_run(small_run.manifest_uri, small_run.embeddings_uri)
