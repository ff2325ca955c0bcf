"""What each route answers, on a catalogue of four tastes in two categories."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fmrec.errors import InputError, NotFoundError
from fmrec.events.event import Event
from fmrec.live import FoldIn
from fmrec.live.answers import (
    Answer,
    Answers,
    Published,
    Request,
    Source,
    audience,
    popular,
    rank,
    recommend,
    similar,
)
from fmrec.live.attributes import Attribute
from fmrec.live.live_model import LiveModel
from fmrec.live.user_history import NOTHING, Trained, UserHistory, merge_history

ITEMS, TASTES = 80, 4


@pytest.fixture(scope="module")
def model() -> LiveModel:
    random = np.random.default_rng(0)
    taste = np.arange(ITEMS) % TASTES
    vectors = (np.eye(TASTES)[taste] * 2 + random.normal(size=(ITEMS, TASTES)) * 0.1).astype(np.float32)
    offsets = (-2 + 0.01 * random.normal(size=ITEMS)).astype(np.float32)
    ids = tuple(f"i{n}" for n in range(ITEMS))
    ordinals = {item: n for n, item in enumerate(ids)}
    kinds = {item: [f"kind-{n % TASTES % 2}"] for n, item in enumerate(ids)}
    labels = {item: [f"label-{n % 5}", f"label-{n % 7}"] for n, item in enumerate(ids) if n % 3}
    return LiveModel(
        "run-1",
        "7",
        ids,
        FoldIn(vectors, offsets, 1, 0.1),
        np.arange(ITEMS)[::-1].copy(),
        -2.0,
        {
            "kind": Attribute.from_mapping("kind", kinds, ordinals),
            "label": Attribute.from_mapping("label", labels, ordinals),
        },
    )


def after(model: LiveModel, *items: str, trained: Trained = NOTHING) -> UserHistory:
    events = [Event(f"e{n}", "u", item, 100) for n, item in enumerate(items)]
    return merge_history(trained, events, model.ordinal_of)


def stored(*items: str) -> Published:
    return Published(tuple(Answer(item, 1.0, n) for n, item in enumerate(items, 1)), "6", "run-0")


def numbers(answers: tuple[Answer, ...]) -> list[int]:
    return [int(answer.item_id[1:]) for answer in answers]


def test_a_new_user_gets_what_the_library_says_of_three_events_and_not_what_is_popular(
    model: LiveModel,
) -> None:
    found = recommend(model, after(model, "i1", "i5", "i9"), Request(5))
    assert found.source == Source.LIVE
    expected = model.fold_in.recommend([1, 5, 9], 5)
    assert numbers(found.items) == expected.items.tolist()
    assert [answer.score for answer in found.items] == pytest.approx(expected.scores.tolist())
    assert all(n % TASTES == 1 for n in numbers(found.items))
    assert [answer.rank for answer in found.items] == [1, 2, 3, 4, 5]
    assert numbers(popular(model, Request(5)).items) == [0, 1, 2, 3, 4]
    assert (found.model_version, found.run) == ("7", "run-1")


def test_who_has_picked_nothing_gets_what_suits_the_side_features(model: LiveModel) -> None:
    query = np.array([0, 3, 0, 0], np.float32)
    request = Request(4, deny=frozenset({"i1"}))
    found = recommend(model, after(model), request, popular_list=stored("i9"), query=query)
    assert found.source == Source.COLD_START
    scores = model.fold_in.scores(query)
    scores[1] = -np.inf
    assert numbers(found.items) == np.argsort(-scores)[:4].tolist()
    assert [answer.score for answer in found.items] == pytest.approx((-np.sort(-scores)[:4]).tolist())
    picked = recommend(model, after(model, "i2"), request, query=query)
    assert picked.source == Source.LIVE


def test_the_published_list_is_served_until_an_event_says_something_new(model: LiveModel) -> None:
    trained = Trained(np.array([1, 5]), np.array([1, 5]), user=0)
    published = stored("i9", "i13")
    old = recommend(model, after(model, "i1", trained=trained), Request(2), published=published)
    assert (old.source, numbers(old.items), old.model_version) == (Source.BATCH, [9, 13], "6")
    new = recommend(model, after(model, "i2", trained=trained), Request(2), published=published)
    assert (new.source, new.model_version) == (Source.LIVE, "7")
    # A request that the published list can't answer is answered from the history.
    for request in (Request(3), Request(2, deny=frozenset({"i9"})), Request(2, because=1)):
        found = recommend(model, after(model, trained=trained), request, published=published)
        assert found.source == Source.LIVE


def test_users_without_a_history_get_what_is_popular_and_the_source_says_why(model: LiveModel) -> None:
    unknown = recommend(model, after(model), Request(3))
    assert (unknown.source, numbers(unknown.items)) == (Source.COLD_START, [0, 1, 2])
    segment = recommend(model, after(model), Request(2), popular_list=stored("i40", "i41"))
    assert (segment.source, numbers(segment.items)) == (Source.COLD_START, [40, 41])
    ignored = recommend(model, after(model, "nothing-known"), Request(2))
    assert ignored.ignored_items == ("nothing-known",)
    disliked = Trained(np.zeros(0, np.int64), np.array([0]), user=4)
    found = recommend(model, after(model, trained=disliked), Request(2), popular_list=stored("i0", "i1"))
    assert (found.source, numbers(found.items)) == (Source.POPULAR, [1, 2])


@pytest.mark.parametrize(
    "request_", [Request(60), Request(20, diversity=0.5), Request(20, maximum_per={"kind": 30})]
)
def test_nothing_seen_is_in_any_list_unless_asked_for(model: LiveModel, request_: Request) -> None:
    trained = Trained(np.array([1, 5]), np.arange(0, 40), user=0)
    history = after(model, "i41", trained=trained)
    found = set(numbers(recommend(model, history, request_).items))
    assert len(found) == min(request_.count, 39)
    assert not found & {*range(40), 41}
    asked = recommend(model, history, Request(60, include_seen=True))
    assert {1, 5, 41} <= set(numbers(asked.items))


def test_filters_leave_out_and_a_value_has_no_more_items_than_its_maximum(model: LiveModel) -> None:
    history = after(model, "i1", "i5")
    only = recommend(model, history, Request(6, where={"kind": frozenset({"kind-0"})}))
    assert all(n % 2 == 0 for n in numbers(only.items))
    allowed = recommend(model, history, Request(6, allow=frozenset({"i2", "i9", "i1", "elsewhere"})))
    assert numbers(allowed.items) == [9, 2]
    denied = recommend(model, history, Request(3, deny=frozenset({"i9", "elsewhere"})))
    assert 9 not in numbers(denied.items)
    mixed = recommend(model, history, Request(8, maximum_per={"kind": 4}))
    assert [n % 2 for n in numbers(mixed.items)].count(1) == 4
    assert len(mixed.items) == 8


def test_conditions_hold_together_and_of_several_values_one_is_enough(model: LiveModel) -> None:
    history = after(model, "i1", "i5")
    labels = frozenset({"label-1", "label-3"})
    found = recommend(model, history, Request(80, where={"label": labels, "kind": frozenset({"kind-1"})}))
    expected = {n for n in range(ITEMS) if n % 3 and n % 2 and {n % 5, n % 7} & {1, 3} and n not in (1, 5)}
    assert set(numbers(found.items)) == expected
    without = recommend(model, history, Request(80, where_not={"label": labels | {"unheard-of"}}))
    assert set(numbers(without.items)) == {
        n for n in range(ITEMS) if not (n % 3 and {n % 5, n % 7} & {1, 3}) and n not in (1, 5)
    }
    # An item without a value is not limited, and one that has several counts for each.
    mixed = numbers(recommend(model, history, Request(40, maximum_per={"label": 2, "kind": 15})).items)
    labelled = [label for n in mixed if n % 3 for label in {n % 5, n % 7}]
    assert max(labelled.count(label) for label in range(7)) == 2
    assert max([n % 2 for n in mixed].count(kind) for kind in (0, 1)) <= 15
    assert [n for n in mixed if n % 3 == 0]


@pytest.mark.parametrize("source", [similar, popular, recommend])
def test_filters_hold_for_every_list_and_fill_it(model: LiveModel, source: Callable[..., Answers]) -> None:
    request = Request(
        20, where={"kind": frozenset({"kind-0"})}, where_not={"label": frozenset({"label-0"})}, diversity=0.3
    )
    subjects: dict[Any, list[Any]] = {similar: ["i3"], popular: [], recommend: [after(model, "i1", "i5")]}
    first = subjects[source]
    found = numbers(source(model, *first, request).items)
    assert len(found) == len(set(found)) == 20
    assert all(n % 2 == 0 and not (n % 3 and 0 in (n % 5, n % 7)) for n in found)


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        (
            {"where": {"kind": frozenset({"kind-9"})}},
            "no item has kind 'kind-9': expected one of kind-0, kind-1",
        ),
        (
            {"where": {"size": frozenset({"1"})}},
            "where names the attribute 'size': expected one of kind, label",
        ),
        ({"where_not": {"size": frozenset({"1"})}}, "where_not names the attribute 'size'"),
        ({"maximum_per": {"size": 1}}, "maximum_per names the attribute 'size'"),
    ],
)
def test_conditions_on_what_no_item_has_are_refused(
    model: LiveModel, filters: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        recommend(model, after(model, "i1"), Request(2, **filters))


def test_diversity_mixes_tastes_and_keeps_the_best_item_first(model: LiveModel) -> None:
    history = after(model, "i1", "i5", "i2")
    plain = numbers(recommend(model, history, Request(8)).items)
    mixed = numbers(recommend(model, history, Request(8, diversity=0.7)).items)
    assert mixed[0] == plain[0]
    assert len({n % TASTES for n in mixed}) > len({n % TASTES for n in plain})


def test_because_names_the_items_of_the_history_that_add_most(model: LiveModel) -> None:
    found = recommend(model, after(model, "i1", "i2"), Request(4, because=1))
    for answer in found.items:
        taste = int(answer.item_id[1:]) % TASTES
        if taste in (1, 2):
            assert [reason.item_id for reason in answer.because] == [f"i{taste}"]
            assert answer.because[0].contribution > 0
    assert not recommend(model, after(model, "i1"), Request(2)).items[0].because


def test_similar_items_are_of_the_same_taste_and_never_the_item_itself(model: LiveModel) -> None:
    found = similar(model, "i3", Request(10))
    assert all(n % TASTES == 3 and n != 3 for n in numbers(found.items))
    assert 0.9 < found.items[-1].score <= found.items[0].score <= 1
    with pytest.raises(NotFoundError, match="item 'nowhere' is not in model 7"):
        similar(model, "nowhere", Request(2))


def test_rank_orders_given_items_once_each_and_names_unknown_ones(model: LiveModel) -> None:
    found = rank(model, after(model, "i1", "i5"), ["i2", "i9", "gone", "i9", "i3"])
    assert sorted(numbers(found.items)) == [2, 3, 9]
    assert found.items[0].item_id == "i9"
    assert found.ignored_items == ("gone",)
    assert rank(model, after(model), ["i2"]).source == Source.POPULAR


def test_an_audience_is_users_whose_vectors_like_the_item_and_who_have_not_seen_it(model: LiveModel) -> None:
    queries = np.hstack([np.eye(TASTES), np.ones((TASTES, 1))]).astype(np.float32)
    offsets = np.full(TASTES, -2.0)
    seen_by = np.array([False, False, False, False])
    found = audience(model, "i2", queries, offsets, seen_by, 2)
    vector, offset = model.fold_in.item(2)
    assert found[0][0] == 2
    assert found[0][1] == pytest.approx(float(vector[2] + offset))
    seen_by[2] = True
    assert 2 not in [user for user, _ in audience(model, "i2", queries, offsets, seen_by, 4)]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"count": 0}, "n is 0: expected 1 to 500"),
        ({"count": 501}, "n is 501"),
        ({"diversity": 1.5}, "diversity is 1.5: expected 0 to 1"),
        ({"maximum_per": {"kind": 0}}, "maximum_per.kind is 0: expected at least 1"),
        ({"because": -1}, "because is -1"),
    ],
)
def test_requests_that_make_no_sense_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        Request(**settings)
    assert sentence in str(error.value)
