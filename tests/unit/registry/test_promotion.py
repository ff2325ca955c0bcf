"""Which model a promotion is about, and what can't be served again."""

import json
from pathlib import Path
from typing import Any

import pytest

from fmrec.errors import InputError, SettingsError
from fmrec.execution.data_bucket import DataBucket
from fmrec.registry import champion, promotion
from fmrec.registry.champion import Champion
from fmrec.registry.model_record import ModelRecord
from tests.fixtures.manifests import manifest

GROUP = "arn:aws:sagemaker:eu-west-1:000000000000:model-package-group/fmrec-recommend"
SERVING: dict[str, Any] = {
    "recommendations_per_user": 10,
    "neighbours": None,
    "exclude_seen": None,
    "filters": {},
    "endpoint": True,
}


@pytest.fixture
def resolve(bucket: Any, versions: Any) -> Any:
    def call(given: Any, **serving: Any) -> Any:
        return promotion.resolve(
            "tuesday",
            given,
            {"serving": SERVING | serving, "dataset": {}},
            bucket=DataBucket(bucket.root),
            groups=GROUP.removesuffix("-recommend"),
            registry=versions,
        )

    return call


@pytest.fixture
def keep(bucket: Any, versions: Any) -> Any:
    """Keep a run's model in the bucket and in the registry."""

    def call(run: str, **changes: Any) -> ModelRecord:
        kept: ModelRecord = bucket.keep(run, **changes)
        versions.add(kept, bucket.root)
        return kept

    return call


@pytest.fixture
def serve(bucket: Any) -> Any:
    """Make a run's model the champion, by its own run or by a promotion."""

    def call(
        kept: ModelRecord, execution: str = "", previous: str | None = None, dataset: str = "default"
    ) -> Champion:
        return champion.promote(
            Champion(
                kept.run,
                kept.task,
                kept.model_version,
                kept.model_uri,
                kept.manifest_uri,
                str(kept.embeddings_uri),
                execution_arn=execution or kept.execution_arn,
            ),
            champion.place(bucket.root, dataset),
            previous=previous,
        )

    return call


@pytest.mark.parametrize("asked", ["monday", "2", 2, GROUP.replace("-group", "") + "/2"])
def test_a_run_a_number_and_an_arn_name_the_same_model(resolve: Any, keep: Any, asked: Any) -> None:
    keep("sunday")
    kept = keep("monday")

    resolved = resolve({"promote": asked})

    assert (resolved["run"], resolved["task"], resolved["encoded"]) == ("tuesday", "recommend", "monday")
    assert resolved["hyperparameters"] == kept.hyperparameters
    assert resolved["dataset"] is None
    assert resolved["ensemble"] == 1
    promoted = resolved["promotion"]
    assert promoted["model_version"] == "fmrec-monday-fm-1"
    assert promoted["model_uri"] == kept.model_uri
    assert promoted["model_package"]["arn"] == kept.model_package_arn
    assert promoted["model_package"]["version"] == 2
    assert promoted["embeddings_uri"] + "embeddings.json" == promoted["embeddings"]["uri"]
    assert promoted["embeddings"] == {
        "uri": kept.embeddings_uri,
        "dim": 65,
        "users": 943,
        "items": 1682,
        "query_parts": 1,
    }
    assert promoted["metrics"] == kept.metrics
    assert promoted["verdict"]["passed"]
    assert kept.verdict in promoted["verdict"]["sentence"]
    assert promoted["previous"] is None


def test_a_model_that_the_gate_rejected_is_approved_with_who_did_it(resolve: Any, keep: Any) -> None:
    keep("monday", passed=False, verdict="Popularity's NDCG@10 is 0.1333.")

    approval = resolve({"promote": "monday"})["promotion"]["approval"]

    assert "by hand, by the execution tuesday" in approval
    assert "was rejected by the gate: Popularity's NDCG@10 is 0.1333." in approval


def test_lists_are_as_long_as_they_were_but_keep_todays_rules(resolve: Any, keep: Any) -> None:
    keep("monday", serving=SERVING | {"recommendations_per_user": 7, "neighbours": 40, "exclude_seen": True})

    as_then = resolve({"promote": "monday"})["serving"]
    denied = resolve({"promote": "monday"}, filters={"deny": ["item-17"]})["serving"]
    longer = resolve({"promote": "monday", "serving": {"recommendations_per_user": 50}})["serving"]

    assert (as_then["recommendations_per_user"], as_then["neighbours"]) == (7, 40)
    assert as_then["exclude_seen"] is True
    assert (denied["filters"], denied["neighbours"]) == ({"deny": ["item-17"]}, None)
    assert (longer["recommendations_per_user"], longer["neighbours"]) == (50, None)


def test_vectors_of_co_occurrence_are_promoted_as_they_are(resolve: Any, keep: Any, bucket: Any) -> None:
    keep("monday")
    path = Path(bucket.root) / "embeddings/monday/embeddings.json"
    document = json.loads(path.read_text())
    beside = {"weight": 0.2, "factors": 64, "pick_weights_key": "pick_weights.npy"}
    path.write_text(json.dumps(document | {"dim": 3 * 64 + 1, "co_occurrence": beside}))

    with pytest.raises(InputError, match=r"pick_weights\.npy is not there"):
        resolve({"promote": "monday"}, co_occurrence=0.3)
    path.with_name("pick_weights.npy").touch()
    resolved = resolve({"promote": "monday"}, co_occurrence=0.3)

    assert resolved["ensemble"] == 2
    assert resolved["serving"]["co_occurrence"] == 0.2
    with pytest.raises(
        InputError, match=r"co_occurrence is 0\.5, but the vectors of run monday .* with 0\.2"
    ):
        resolve({"promote": "monday", "serving": {"co_occurrence": 0.5}})
    path.write_text(json.dumps(document))
    assert resolve({"promote": "monday"}, co_occurrence=0.3)["serving"]["co_occurrence"] == 0


def test_rolling_back_twice_goes_two_champions_back_and_not_to_and_fro(
    resolve: Any, keep: Any, serve: Any
) -> None:
    first, second, third = keep("a"), keep("b"), keep("c")
    for each in (first, second, third):
        serve(each)

    back = resolve({"rollback": True})["promotion"]
    assert (back["kind"], back["run"]) == ("rollback", "b")
    serve(second, "arn:x:rollback-1", back["previous"])

    further = resolve({"rollback": True})["promotion"]
    assert further["run"] == "a"
    serve(first, "arn:x:rollback-2", further["previous"])

    with pytest.raises(InputError, match="no champion before it is recorded"):
        resolve({"rollback": True})
    serve(third, "arn:x:promote-c")
    assert resolve({"rollback": True})["promotion"]["run"] == "a"


def test_each_data_set_is_promoted_and_rolled_back_by_itself(
    resolve: Any, keep: Any, serve: Any, bucket: Any
) -> None:
    film, first, second = keep("film"), keep("first"), keep("second")
    for run in ("first", "second"):
        bucket.write(f"encoded/{run}/manifest.json", manifest(run, name="books").to_json())
    serve(film)
    serve(first, dataset="books")
    serve(second, dataset="books")

    back = resolve({"rollback": True, "name": "books"})

    assert (back["promotion"]["run"], back["dataset_name"]) == ("first", "books")
    assert back["promotion"]["model_package"]["group"] == "fmrec-books-recommend"
    with pytest.raises(InputError, match="no champion before it is recorded"):
        resolve({"rollback": True})
    with pytest.raises(InputError, match="trained on the data set 'books', not on 'default'"):
        resolve({"promote": "first"})
    assert resolve({"promote": "first", "name": "books"})["promotion"]["run"] == "first"


def test_before_anything_serves_there_is_nothing_to_go_back_from(resolve: Any) -> None:
    with pytest.raises(InputError, match="nothing serves yet"):
        resolve({"rollback": True})


@pytest.mark.parametrize(
    "lost",
    [
        "encoded/monday/manifest.json",
        "encoded/monday/feature_index/part-0",
        "encoded/monday/seen/part-0",
        "embeddings/monday/embeddings.json",
        "embeddings/monday/items/part-00000.pbr",
        "embeddings/monday/queries/part-00000.pbr",
        "embeddings/monday/query_offsets/part-00000.npy",
    ],
)
def test_what_has_been_deleted_by_age_cannot_be_served_again(
    resolve: Any, keep: Any, bucket: Any, lost: str
) -> None:
    keep("monday")
    bucket.lose(lost)

    with pytest.raises(InputError, match="at the age that the setting") as refused:
        resolve({"promote": "monday"})
    assert lost.rsplit("/", 1)[0] in str(refused.value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"promote": "friday"}, "there is no model of run 'friday'"),
        ({"promote": 9}, "there is no model package .*/9"),
        ({"promote": ""}, "promote is ''"),
        ({"promote": True}, "promote is True"),
        ({"promote": "../monday"}, r"promote is '\.\./monday'"),
        (
            {"promote": GROUP.replace("-group", "").replace("recommend", "other") + "/1"},
            "expected a version of",
        ),
        ({"rollback": False}, "rollback is False"),
        ({"rollback": True, "promote": "monday"}, "nothing else"),
        ({"promote": "monday", "task": "recommend"}, "nothing else"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(
    resolve: Any, keep: Any, given: Any, sentence: str
) -> None:
    keep("monday")

    with pytest.raises(InputError, match=sentence):
        resolve(given)


def test_only_models_that_make_lists_are_promoted(resolve: Any, keep: Any) -> None:
    keep("ratings", task="predict-rating", embeddings_uri=None)

    with pytest.raises(InputError, match="was trained for 'predict-rating'"):
        resolve({"promote": "ratings"})


def test_a_version_that_no_run_registered_or_that_was_deleted_is_refused(
    resolve: Any, keep: Any, versions: Any
) -> None:
    arn = str(keep("monday").model_package_arn)
    versions.packages[arn] = {}
    with pytest.raises(InputError, match="was not registered by a run"):
        resolve({"promote": arn})
    del versions.packages[arn]
    with pytest.raises(InputError, match="has been deleted"):
        resolve({"promote": "monday"})


def test_a_wrong_serving_section_is_refused_as_in_any_run(resolve: Any, keep: Any) -> None:
    keep("monday")
    with pytest.raises(SettingsError, match="lists is unknown"):
        resolve({"promote": "monday", "serving": {"lists": 3}})


@pytest.mark.parametrize(
    ("given", "wanted"), [({"promote": "x"}, True), ({"rollback": True}, True), ({}, False), ([], False)]
)
def test_promotions_are_told_from_other_inputs(given: Any, wanted: bool) -> None:
    assert promotion.is_wanted(given) is wanted
