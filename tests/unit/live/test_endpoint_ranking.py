"""Lists ranked by a k-NN endpoint: SageMaker's runtime over the stand-in's own model, in this process."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from algorithms.container.media_types import MediaType
from algorithms.knn.hyperparameters import resolve_settings
from algorithms.knn.index import NeighbourIndex
from algorithms.knn.serve import NeighbourModel
from fmrec.errors import ServiceError
from fmrec.live import FoldIn, answers
from fmrec.live.answers import Request, recommend
from fmrec.live.api import routes
from fmrec.live.api.application import answer
from fmrec.live.attributes import Attribute
from fmrec.live.endpoint_ranking import EndpointRanking
from fmrec.live.live_model import LiveModel
from fmrec.live.served_model import Champion
from fmrec.live.user_history import NOTHING, Trained, UserHistory, merge_history
from tests.fixtures.api_calls import Api, Context, library, request
from tests.fixtures.small_runs import SmallRun

ITEMS, FACTORS, BIAS, NEIGHBOURS = 600, 8, -1.5, 120


class Runtime:
    """What `invoke_endpoint` does, with an index of these items; or an error in its place."""

    def __init__(self, vectors: np.ndarray, k: int = NEIGHBOURS) -> None:
        given = {
            "feature_dim": str(vectors.shape[1]),
            "k": str(k),
            "predictor_type": "classifier",
            "sample_size": "99999",
            "index_metric": "INNER_PRODUCT",
        }
        labels = np.arange(len(vectors), dtype=np.float32)
        self.model = NeighbourModel(NeighbourIndex.build(vectors, labels, resolve_settings(given), seed=0))
        self.asked: list[str] = []
        self.error: Exception | None = None

    def invoke_endpoint(self, EndpointName: str, ContentType: str, Accept: str, Body: bytes) -> Any:
        self.asked.append(EndpointName)
        if self.error is not None:
            raise self.error
        text = self.model.answer(Body, MediaType.parse(ContentType), MediaType.parse(Accept))
        return {"Body": io.BytesIO(text)}


def exported(seed: int) -> np.ndarray:
    """``[V_i, w_i]`` as the workflow exports them to the index."""
    return np.random.default_rng(seed).normal(size=(ITEMS, FACTORS + 1)).astype(np.float32)


def in_memory() -> LiveModel:
    vectors = exported(1)
    ids = tuple(f"i{n}" for n in range(ITEMS))
    kinds = {item: [f"kind-{n % 4}"] for n, item in enumerate(ids)}
    return LiveModel(
        "run-1",
        "7",
        ids,
        FoldIn(vectors[:, :-1], vectors[:, -1] + np.float32(BIAS), 2, 0.05),
        np.arange(ITEMS),
        BIAS,
        {"kind": Attribute.from_mapping("kind", kinds, {item: n for n, item in enumerate(ids)})},
    )


MEMORY = in_memory()
from_all = answers._from_all


def by_endpoint(runtime: Runtime, from_items: int = ITEMS) -> LiveModel:
    return replace(MEMORY, nearest=EndpointRanking("fmrec-knn", from_items, runtime).nearest(MEMORY))


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(exported(1))


def history(*ordinals: int) -> UserHistory:
    seen = np.array(sorted({*ordinals, *range(100, 130)}), np.int64)
    return merge_history(Trained(np.array(ordinals, np.int64), seen, 0), [], MEMORY.ordinal_of)


@pytest.mark.parametrize(
    ("request_", "enough"),
    [
        (Request(10), True),
        (Request(50), True),
        (Request(10, include_seen=True, because=2), True),
        (Request(10, deny=frozenset({f"i{n}" for n in range(30)})), True),
        (Request(10, where={"kind": frozenset({"kind-1"})}), True),
        (Request(5, diversity=0.4, maximum_per={"kind": 2}), True),
        # More than the index answers, after what is left out: all items are ranked here.
        (Request(500), False),
        (Request(60, where={"kind": frozenset({"kind-1"})}), False),
        (Request(20, diversity=0.4), False),
        (Request(3, allow=frozenset({"i5", "i6", "i7"})), False),
    ],
)
def test_the_endpoint_and_memory_give_the_same_lists(
    runtime: Runtime, request_: Request, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = by_endpoint(runtime)
    whole: list[Request] = []

    def counted(*given: Any) -> Any:
        whole.append(given[-1])
        return from_all(*given)

    monkeypatch.setattr(answers, "_from_all", counted)
    for start in range(0, 60, 7):
        picked = history(start, start + 3, start + 200)
        runtime.asked.clear()
        whole.clear()
        found = recommend(model, picked, request_)
        assert runtime.asked == ["fmrec-knn"]
        assert not whole if enough else whole
        expected = recommend(MEMORY, picked, request_)
        assert [item.item_id for item in found.items] == [item.item_id for item in expected.items]
        assert [item.score for item in found.items] == pytest.approx(
            [item.score for item in expected.items], abs=1e-4
        )
        assert [item.because for item in found.items] == [item.because for item in expected.items]
        assert (found.source, len(found.items)) == (expected.source, min(request_.count, len(expected.items)))


def test_smaller_models_are_ranked_in_memory_and_those_without_a_history_never_asked(
    runtime: Runtime,
) -> None:
    assert EndpointRanking("fmrec-knn", ITEMS + 1, runtime).nearest(MEMORY) is None
    runtime.asked.clear()
    nobody = merge_history(NOTHING, [], MEMORY.ordinal_of)
    assert recommend(by_endpoint(runtime), nobody, Request(3)).source == "cold-start"
    assert not runtime.asked


def test_an_index_of_all_items_is_never_too_short() -> None:
    model = by_endpoint(Runtime(exported(1), k=ITEMS))
    request = Request(500, where={"kind": frozenset({"kind-1"})}, diversity=0.2)
    found = recommend(model, history(1, 2), request)
    assert [item.item_id for item in found.items] == [
        item.item_id for item in recommend(MEMORY, history(1, 2), request).items
    ]
    assert 100 < len(found.items) < 150


@pytest.mark.parametrize(
    "error",
    [
        ClientError(
            {
                "Error": {
                    "Code": "ValidationError",
                    "Message": "Endpoint fmrec-knn of account 123456789012 not found.",
                }
            },
            "InvokeEndpoint",
        ),
        EndpointConnectionError(endpoint_url="https://runtime.sagemaker"),
    ],
)
def test_an_endpoint_that_does_not_run_is_said_with_what_starts_it(error: Exception) -> None:
    runtime = Runtime(exported(1))
    runtime.error = error
    with pytest.raises(ServiceError) as failed:
        recommend(by_endpoint(runtime), history(1, 2), Request(3))
    assert str(failed.value) == (
        "the endpoint fmrec-knn, which ranks the 600 items, does not answer: `fmrec endpoints` says whether it runs, "
        "and `fmrec endpoints --start fmrec-knn` starts it"
    )


def test_the_api_answers_503_while_the_endpoint_is_stopped_and_other_lists_all_the_same(
    small_run: SmallRun, dynamodb: Any, table: str
) -> None:
    run = small_run
    Api.over(run, table, dynamodb)
    runtime = Runtime(run.item_vectors, k=4)
    endpoint = EndpointRanking("fmrec-knn", 1, runtime)
    app = routes.build(Champion(str(run.folder), table, endpoint=endpoint, client=dynamodb))
    body = {"history": [{"item_id": run.item_ids[0]}], "n": 3}

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        found = answer(app, request(method, path, body), Context())
        return found["statusCode"], json.loads(found["body"])

    status, found = ask("POST", "/recommendations", body)
    expected = library(run).recommend([0], 3)
    assert (status, len(runtime.asked)) == (200, 1)
    assert [item["item_id"] for item in found["items"]] == [run.item_ids[n] for n in expected.items]
    runtime.error = EndpointConnectionError(endpoint_url="https://runtime.sagemaker")
    status, problem = ask("POST", "/recommendations", body)
    assert (status, problem["title"]) == (503, "Service Unavailable")
    assert "`fmrec endpoints --start fmrec-knn` starts it" in problem["detail"]
    assert ask("GET", "/popular")[0] == 200


def test_an_endpoint_with_another_models_index_is_not_believed() -> None:
    with pytest.raises(ServiceError, match="the endpoint fmrec-knn has another model than 7, which serves"):
        recommend(by_endpoint(Runtime(exported(2))), history(1, 2), Request(3))


def test_what_is_no_answer_of_an_index_is_an_endpoint_that_does_not_answer() -> None:
    more_items = np.vstack([exported(1), exported(3) * 100])
    with pytest.raises(ServiceError, match="does not answer"):
        recommend(by_endpoint(Runtime(more_items)), history(1, 2), Request(3))
