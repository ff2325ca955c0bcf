from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fmrec.errors import InputError
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.recommendations.cold_start import publish_popular, rank_by_features
from fmrec.recommendations.publish import publish
from fmrec.recommendations.selection import Rules
from fmrec.recommendations.table import serve

POPULARITY = [1 + (23 + item) % 5 for item in range(12)]


def popular(run: Any, table: Any, dynamodb: Any, **more: Any) -> Any:
    return publish_popular(
        manifest_uri=run.manifest_uri, table=table, per_user=4, model_version="m1", dynamodb=dynamodb, **more
    )


def names(run: Any, counts: Any, items: Any = range(12), n: Any = 4) -> Any:
    return [run.item_ids[i] for i in sorted(items, key=lambda i: (-counts[i], -POPULARITY[i], i))[:n]]


def test_a_stranger_gets_what_is_popular_and_is_told_so(small_run: Any, dynamodb: Any, table: Any) -> None:
    assert popular(small_run, table, dynamodb) == {"lists": 1}
    served = serve(table, "a stranger", client=dynamodb)
    assert [r.item_id for r in served.recommendations] == names(small_run, POPULARITY)
    assert [r.rank for r in served.recommendations] == [1, 2, 3, 4]
    assert served.recommendations[0].score == pytest.approx(5 / sum(POPULARITY))
    assert (served.user_id, served.basis, served.run) == ("a stranger", "popularity", "r1")


def test_a_known_user_gets_the_models_list(small_run: Any, dynamodb: Any, table: Any) -> None:
    popular(small_run, table, dynamodb)
    small_run.write_neighbours(0, small_run.answer(0, 5))
    publish(**small_run.arguments(0), table=table, dynamodb=dynamodb)
    served = serve(table, small_run.user_ids[4], "young", dynamodb)
    assert served.basis == "model"
    assert served.recommendations[0].item_id == small_run.item_ids[small_run.ranking(4)[0]]


def test_a_stranger_of_a_known_segment_gets_what_is_popular_there(
    small_run: Any, dynamodb: Any, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmrec.recommendations.cold_start.USERS_AT_A_TIME", 5)
    young = [1, 4, 6, 11, 20]
    lines = ["user_id,segment", "someone else,old", *(f"{small_run.user_ids[n]},young" for n in young)]
    (tmp_path / "segments.csv").write_text("\n".join(lines))
    assert popular(small_run, table, dynamodb, segments_uri=str(tmp_path / "segments.csv")) == {"lists": 3}
    counts = [sum(item in small_run.seen.of(user) for user in young) for item in range(12)]
    served = serve(table, "a stranger", "young", dynamodb)
    assert [r.item_id for r in served.recommendations] == names(small_run, counts)
    assert served.basis == "popularity in young"
    assert serve(table, "a stranger", "middle-aged", dynamodb).basis == "popularity"
    old = serve(table, "a stranger", "old", dynamodb)
    assert [r.item_id for r in old.recommendations] == names(small_run, POPULARITY)


def test_filters_hold_for_strangers(small_run: Any, dynamodb: Any, table: Any) -> None:
    best = names(small_run, POPULARITY)[0]
    popular(small_run, table, dynamodb, filters={"deny": [best]})
    served = serve(table, "a stranger", client=dynamodb)
    items = [i for i in range(12) if small_run.item_ids[i] != best]
    assert [r.item_id for r in served.recommendations] == names(small_run, POPULARITY, items)


def test_before_any_run_there_is_a_sentence(dynamodb: Any, table: Any) -> None:
    with pytest.raises(InputError, match="not even the popular ones: run the workflow first"):
        serve(table, "a stranger", client=dynamodb)


def test_segments_that_cannot_be_used_are_refused(
    small_run: Any, dynamodb: Any, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "segments.csv"
    path.write_text("user,age\n")
    with pytest.raises(InputError, match="with the header user_id,segment"):
        popular(small_run, table, dynamodb, segments_uri=str(path))
    for segment in ("", "x" * 1001):
        path.write_text(
            f"user_id,segment\n{small_run.user_ids[1]},young\n{small_run.user_ids[4]},{segment}\n"
        )
        with pytest.raises(InputError, match="expected a name of 1 to 1,000 bytes in each row"):
            popular(small_run, table, dynamodb, segments_uri=str(path))
    path.write_text("user_id,segment\n" + "".join(f"{user},{user}\n" for user in small_run.user_ids))
    with monkeypatch.context() as patch:
        patch.setattr("fmrec.recommendations.cold_start.MAXIMUM_COUNTS", 12 * 22)
        with pytest.raises(InputError, match="has 23 segments, and there are 12 items: expected at most 22"):
            popular(small_run, table, dynamodb, segments_uri=str(path))
    path.write_text("user_id,segment\nnobody,old\n")
    with pytest.raises(InputError, match="names no user of this run"):
        popular(small_run, table, dynamodb, segments_uri=str(path))


@pytest.fixture
def side_features() -> Any:
    """A model of 5 users, 30 items, 3 user features, 6 item features; rows of new users and of items."""
    random = np.random.default_rng(5)
    width = 5 + 30 + 3 + 6
    model = FactorizationMachine(
        bias=0.25,
        linear=random.normal(0, 0.3, width).astype(np.float32),
        factors=random.normal(0, 0.3, (width, 4)).astype(np.float32),
        predictor_type="regressor",
    )
    users = np.zeros((7, width))
    users[:, 35:38] = random.random((7, 3)) * (random.random((7, 3)) < 0.7)
    items = np.zeros((33, width))
    items[:30, 5:35] = np.eye(30)  # the last three are new: side features only
    items[:, 38:] = random.random((33, 6)) * (random.random((33, 6)) < 0.5)
    return model, users, items


def test_new_users_and_new_items_are_scored_exactly_as_the_model_scores_pairs(side_features: Any) -> None:
    model, users, items = side_features
    excluded = np.zeros(33, bool)
    excluded[[3, 31]] = True
    best = rank_by_features(model, sparse.csr_array(users), sparse.csr_array(items), 8, Rules(excluded))
    for user, row in enumerate(users):
        scores = model.scores(sparse.csr_array(row + items))
        order = [i for i in np.argsort(-scores) if not excluded[i]][:8]
        assert best.items[user].tolist() == order
        assert best.products[user] == pytest.approx(scores[order], abs=1e-5)


def test_a_feature_on_both_sides_is_refused(side_features: Any) -> None:
    model, users, items = side_features
    users[0, 40] = 1
    with pytest.raises(InputError, match="feature column 40 is used by queries and by items"):
        rank_by_features(model, sparse.csr_array(users), sparse.csr_array(items), 8)
