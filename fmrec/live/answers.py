"""What each route of the API answers: pure functions of a model, a history and a request.

Their form for callers is in docs/live.md. Nothing here knows HTTP or AWS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fmrec.errors import InputError
from fmrec.live.attributes import attribute, excluded_by
from fmrec.live.live_model import LiveModel
from fmrec.live.user_history import Ordinals, UserHistory

MAXIMUM_ITEMS = 500
"""Length of a list."""
CANDIDATES_PER_ITEM = 10
"""Best items that diversity and limits by attribute choose from, for each wanted one, at first."""

Scores = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float32]


class Source(StrEnum):
    """What a list rests on."""

    BATCH = "batch"
    """The list that the last run published; events say no more than it knows."""
    LIVE = "live"
    """The history, folded in just now."""
    COLD_START = "cold-start"
    """The user has picked nothing that is known: what suits the user's side features, if training knew
    some, or what is popular, in the user's segment if there is a list for it."""
    POPULAR = "popular"
    """What is popular, because that was asked for or the history has no item that the model knows."""


@dataclass(frozen=True)
class Request:
    """What a caller wants of a list.

    ``allow``: only these items, if given; ``deny``: never these; ``where``: by attribute, only items that
    have one of these values; ``where_not``: only items that have none of these; ``maximum_per``: by
    attribute, at most so many items that share a value; ``diversity``: from 0, best first, to 1, as unlike
    each other as the candidates allow; ``include_seen``: what the user has interacted with as well;
    ``because``: how many items of the history explain each recommended one.
    """

    count: int = 10
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)
    where_not: Mapping[str, frozenset[str]] = field(default_factory=dict)
    maximum_per: Mapping[str, int] = field(default_factory=dict)
    diversity: float = 0.0
    include_seen: bool = False
    because: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAXIMUM_ITEMS:
            raise InputError(f"n is {self.count}: expected 1 to {MAXIMUM_ITEMS}")
        if not 0 <= self.diversity <= 1:
            raise InputError(f"diversity is {self.diversity}: expected 0 to 1")
        for name, maximum in self.maximum_per.items():
            if maximum < 1:
                raise InputError(f"maximum_per.{name} is {maximum}: expected at least 1")
        if self.because < 0:
            raise InputError(f"because is {self.because}: expected at least 0")

    @property
    def plain(self) -> bool:
        """Whether a published list can answer it, if it is long enough."""
        return self == Request(self.count)


@dataclass(frozen=True)
class Reason:
    """One item of the history, and what it adds to a recommended item's score."""

    item_id: str
    contribution: float


@dataclass(frozen=True)
class Answer:
    """One item of a list; rank 1 is the best."""

    item_id: str
    score: float
    rank: int
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Answers:
    """A list, and what it rests on."""

    source: Source
    items: tuple[Answer, ...]
    model_version: str
    run: str
    ignored_items: tuple[str, ...] = ()
    """Items of the history or the request that the model doesn't know."""


@dataclass(frozen=True)
class Published:
    """A list of the recommendations' table, best first."""

    items: tuple[Answer, ...]
    model_version: str
    run: str

    def suffices(self, request: Request) -> bool:
        """Whether it can answer a request, as far as the request is concerned."""
        return request.plain and len(self.items) >= request.count


def recommend(
    model: LiveModel,
    history: UserHistory,
    request: Request,
    *,
    published: Published | None = None,
    popular_list: Published | None = None,
    query: Vector | None = None,
) -> Answers:
    """A list for a user, known or not.

    The published list is served if it suffices and events say no more than training knows; else the history
    is folded in. Who has no history gets what suits the user's attributes, or else what is popular.

    Parameters
    ----------
    published
        The user's own list in the table, if there is one.
    popular_list
        The table's list for cold-start users, or that of the user's segment.
    query
        (k,) the vector of the user's side features, if training knew some.
    """
    if published is not None and published.suffices(request) and history.adds_nothing:
        return Answers(
            Source.BATCH,
            published.items[: request.count],
            published.model_version,
            published.run,
            history.unknown_items,
        )
    if len(history.ordinals):
        return _folded_in(model, history, request)
    if query is not None:
        hidden = np.zeros(0, np.int64) if request.include_seen else history.seen
        chosen = _choose(model, model.fold_in.scores(query), hidden, request)
        return _answers(model, Source.COLD_START, chosen, history.unknown_items)
    known = history.known or len(history.seen) > 0
    source = Source.POPULAR if known else Source.COLD_START
    if popular_list is not None and popular_list.suffices(request) and not len(history.seen):
        return Answers(
            source,
            popular_list.items[: request.count],
            popular_list.model_version,
            popular_list.run,
            history.unknown_items,
        )
    return _popular(model, history, request, source)


def popular(model: LiveModel, request: Request) -> Answers:
    """What was interacted with most."""
    nothing = np.zeros(0, np.int64)
    scores = model.interactions / max(1, int(model.interactions.sum()))
    return _answers(model, Source.POPULAR, _choose(model, scores.astype(np.float32), nothing, request))


def similar(model: LiveModel, item_id: str, request: Request) -> Answers:
    """Items whose vectors point where this item's does: cosine, from -1 to 1.

    Raises
    ------
    NotFoundError
        The model doesn't know the item.
    """
    ordinal = model.ordinal(item_id)
    scores = model.fold_in.cosines(ordinal)
    return _answers(model, Source.LIVE, _choose(model, scores, np.array([ordinal]), request))


def rank(model: LiveModel, history: UserHistory, item_ids: Sequence[str]) -> Answers:
    """Order the given items for a user, best first; without a history by their own weights."""
    known = list(dict.fromkeys(item for item in item_ids if item in model.ordinal_of))
    unknown = tuple(dict.fromkeys(item for item in item_ids if item not in model.ordinal_of))
    ordinals = np.array([model.ordinal_of[item] for item in known], np.int64)
    vector = model.fold_in.user_vector(history.ordinals, history.weights)
    scores = model.fold_in.scores(vector, ordinals)
    order = np.lexsort((ordinals, -scores))
    chosen = [(int(ordinals[at]), float(scores[at])) for at in order]
    source = Source.LIVE if len(history.ordinals) else Source.POPULAR
    ignored = tuple(dict.fromkeys((*history.unknown_items, *unknown)))
    return _answers(model, source, chosen, ignored)


def audience(
    model: LiveModel,
    item_id: str,
    queries: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.float64],
    seen_by: npt.NDArray[np.bool_],
    count: int,
) -> list[tuple[int, float]]:
    """Users who are likely to want an item: their ordinals and scores, best first.

    Parameters
    ----------
    queries, offsets
        Trained users' ``[V_u, 1]``, (users, k + 1), and ``w_0 + w_u``, (users,): scores of different users
        are comparable with them only.
    seen_by
        (users,) True for users who have interacted with the item.

    Raises
    ------
    NotFoundError
        The model doesn't know the item.
    """
    vector, offset = model.fold_in.item(model.ordinal(item_id))
    scores = queries[:, :-1] @ vector + (offset - model.bias) + offsets
    scores[seen_by] = -np.inf
    best = np.lexsort((np.arange(len(scores)), -scores))[:count]
    return [(int(user), float(scores[user])) for user in best if scores[user] > -np.inf]


def _folded_in(model: LiveModel, history: UserHistory, request: Request) -> Answers:
    hidden = np.zeros(0, np.int64) if request.include_seen else history.seen
    chosen = _from_nearest(model, history, hidden, request)
    if chosen is None:
        chosen = _from_all(model, history, hidden, request)
    reasons = _reasons(model, history, [item for item, _ in chosen], request.because)
    return _answers(model, Source.LIVE, chosen, history.unknown_items, reasons)


def _from_all(
    model: LiveModel, history: UserHistory, hidden: Ordinals, request: Request
) -> list[tuple[int, float]]:
    fold_in = model.fold_in
    if _greedy(request):
        vector = fold_in.user_vector(history.ordinals, history.weights)
        return _choose(model, fold_in.scores(vector), hidden, request)
    excluded = _excluded(model, request)
    top = fold_in.recommend(history.ordinals, request.count, history.weights, seen=hidden, excluded=excluded)
    return list(zip(top.items.tolist(), top.scores.tolist(), strict=True))


def _from_nearest(
    model: LiveModel, history: UserHistory, hidden: Ordinals, request: Request
) -> list[tuple[int, float]] | None:
    """The list of a pass over all items from few of them; None where too few are left of these."""
    if model.nearest is None:
        return None
    vector = model.fold_in.user_vector(history.ordinals, history.weights)
    items = model.nearest(vector)
    scores = np.full(len(model.item_ids), -np.inf, np.float32)
    scores[items] = model.fold_in.scores(vector, items)
    rejected = _excluded(model, request)
    rejected[hidden] = True
    needed = request.count * (CANDIDATES_PER_ITEM if _greedy(request) else 1)
    if len(items) < len(scores) and np.count_nonzero(~rejected[items]) < needed:
        return None
    chosen = _choose(model, scores, hidden, request)
    return chosen if len(chosen) == request.count or len(items) == len(scores) else None


def _popular(model: LiveModel, history: UserHistory, request: Request, source: Source) -> Answers:
    hidden = np.zeros(0, np.int64) if request.include_seen else history.seen
    scores = (model.interactions / max(1, int(model.interactions.sum()))).astype(np.float32)
    return _answers(model, source, _choose(model, scores, hidden, request), history.unknown_items)


def _reasons(
    model: LiveModel, history: UserHistory, items: list[int], wanted: int
) -> list[tuple[Reason, ...]] | None:
    """The items of the history that add most to each score, those that add something only."""
    if not wanted or not items:
        return None
    found = model.fold_in.contributions(history.ordinals, items, history.weights)
    reasons = []
    for row in found.history:
        best = np.argsort(-row, kind="stable")[:wanted]
        reasons.append(
            tuple(
                Reason(model.item_ids[int(found.ordinals[at])], float(row[at])) for at in best if row[at] > 0
            )
        )
    return reasons


def _answers(
    model: LiveModel,
    source: Source,
    chosen: list[tuple[int, float]],
    ignored: tuple[str, ...] = (),
    reasons: list[tuple[Reason, ...]] | None = None,
) -> Answers:
    items = tuple(
        Answer(model.item_ids[item], score, rank, reasons[rank - 1] if reasons else ())
        for rank, (item, score) in enumerate(chosen, 1)
    )
    return Answers(source, items, model.model_version, model.run, ignored)


def _greedy(request: Request) -> bool:
    return bool(request.maximum_per) or request.diversity > 0


def _excluded(model: LiveModel, request: Request) -> npt.NDArray[np.bool_]:
    """Items that the request's filters leave out."""
    excluded = np.zeros(len(model.item_ids), bool)
    if request.allow is not None:
        excluded[:] = True
        excluded[[model.ordinal_of[item] for item in request.allow if item in model.ordinal_of]] = False
    excluded[[model.ordinal_of[item] for item in request.deny if item in model.ordinal_of]] = True
    return excluded | excluded_by(model.attributes, request.where, request.where_not, len(excluded))


def _choose(model: LiveModel, scores: Scores, hidden: Ordinals, request: Request) -> list[tuple[int, float]]:
    """The best items by score under the request's rules, as (ordinal, score)."""
    allowed = scores.copy()
    allowed[hidden] = -np.inf
    allowed[_excluded(model, request)] = -np.inf
    order = np.lexsort((np.arange(len(allowed)), -allowed))
    order = order[allowed[order] > -np.inf]
    if not _greedy(request):
        return [(int(item), float(scores[item])) for item in order[: request.count]]
    reach = CANDIDATES_PER_ITEM * request.count
    while True:
        chosen = _greedily(model, scores, order[:reach], request)
        if len(chosen) == request.count or reach >= len(order):
            return [(item, float(scores[item])) for item in chosen]
        reach *= 4


def _greedily(model: LiveModel, scores: Scores, candidates: Ordinals, request: Request) -> list[int]:
    """Take one item after another: the best by its score, brought to 0 to 1, and by how unlike it is.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): (1 - d) score - d largest cosine to what
    is chosen already. Items that have a value of which there are enough are passed over.
    """
    if not len(candidates):
        return []
    mine = scores[candidates]
    relevance = (mine - mine.min()) / max(float(mine.max() - mine.min()), 1e-9)
    alike = np.zeros(len(candidates), np.float32)
    open_ = np.ones(len(candidates), bool)
    limits = [
        (attribute(model.attributes, name, "maximum_per").of, maximum, Counter[int]())
        for name, maximum in request.maximum_per.items()
    ]
    chosen: list[int] = []
    while open_.any() and len(chosen) < request.count:
        value = np.where(open_, (1 - request.diversity) * relevance - request.diversity * alike, -np.inf)
        at = int(np.argmax(value))
        open_[at] = False
        item = int(candidates[at])
        if any(taken[value] >= most for of, most, taken in limits for value in of.of(item).tolist()):
            continue
        for of, _, taken in limits:
            taken.update(of.of(item).tolist())
        chosen.append(item)
        if request.diversity:
            alike = np.maximum(alike, model.fold_in.cosines(item, candidates))
    return chosen
