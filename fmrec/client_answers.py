"""What the HTTP API answers, as `fmrec.client` returns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reason:
    """An item of the history, and what it adds to a score."""

    item_id: str
    contribution: float


@dataclass(frozen=True)
class Item:
    """One item of a list; rank 1 is the best."""

    item_id: str
    score: float
    rank: int
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class ItemList:
    """A list; ``source`` says what it rests on: batch, live, cold-start or popular."""

    source: str
    items: tuple[Item, ...]
    model_version: str
    run: str
    ignored_items: tuple[str, ...]


@dataclass(frozen=True)
class LikelyUser:
    """A user who may want an item; rank 1 is the likeliest."""

    user_id: str
    score: float
    rank: int


@dataclass(frozen=True)
class Stored:
    """What became of posted events: new ones, and those whose ids had been stored before."""

    stored: int
    duplicates: int


@dataclass(frozen=True)
class Pending:
    """What an erasure leaves of a user, and how it ends."""

    where: str
    what: str
    ends: str


@dataclass(frozen=True)
class ErasureReceipt:
    """What an erasure has removed, ``lists`` and ``events``, and what is left."""

    user_id: str
    erased_at: str
    removed: dict[str, int]
    pending: tuple[Pending, ...]


@dataclass(frozen=True)
class ItemName:
    """What an item is called, and what else is to be shown of it."""

    item_id: str
    name: str
    details: str


@dataclass(frozen=True)
class AttributeCount:
    """A value of an attribute, and how many items have it."""

    value: str
    items: int


@dataclass(frozen=True)
class AttributeValues:
    """An attribute that lists are filtered by, its most frequent values, and how many it has in all."""

    name: str
    values: tuple[AttributeCount, ...]
    distinct: int


@dataclass(frozen=True)
class Click:
    """What an event needs that means "liked it": the least value, or one of these kinds, if either counts."""

    value: float | None
    event: tuple[str, ...] | None


@dataclass(frozen=True)
class Model:
    """The model that serves; ``names`` says whether its items have names."""

    dataset: str
    run: str
    model_version: str
    since: str
    users: int
    items: int
    click: Click
    names: bool


@dataclass(frozen=True)
class Figure:
    """One measured value of a table."""

    name: str
    value: float


@dataclass(frozen=True)
class Quality:
    """A metric of all lists, the best first; ``own`` is the row of the model."""

    metric: str
    users: int
    own: str
    rows: tuple[Figure, ...]


@dataclass(frozen=True)
class NewUsers:
    """A metric of lists of users who are folded in."""

    metric: str
    users: int
    who: str
    rows: tuple[Figure, ...]


@dataclass(frozen=True)
class ChosenInstance:
    """What a step ran on, why, what was refused before, and its cost in US dollars, as far as it is known."""

    step: str
    instance: str
    why: str
    refused: tuple[str, ...]
    usd_per_hour: float | None
    usd: float | None


@dataclass(frozen=True)
class Report:
    """Quality, instances and cost of the run whose model serves; ``usd_per_month`` is the endpoint's."""

    run: str
    verdict: str
    quality: Quality | None
    new_users: NewUsers | None
    instances: tuple[ChosenInstance, ...]
    usd: float | None
    usd_per_month: float | None


def attribute_values(document: Mapping[str, Any]) -> AttributeValues:
    """One of the answer of ``GET /attributes``."""
    counts = tuple(known(AttributeCount, each) for each in document["values"])
    return known(AttributeValues, {**document, "values": counts})


def model(document: Mapping[str, Any]) -> Model:
    """The answer of ``GET /model``."""
    click = document["click"]
    kinds = None if click["event"] is None else tuple(click["event"])
    return known(Model, {**document, "click": Click(click["value"], kinds)})


def report(document: Mapping[str, Any]) -> Report:
    """The answer of ``GET /report``."""
    instances = (
        known(ChosenInstance, {**each, "refused": tuple(each["refused"])}) for each in document["instances"]
    )
    tables = {
        name: None
        if document[name] is None
        else known(kind, {**document[name], "rows": _figures(document[name])})
        for name, kind in (("quality", Quality), ("new_users", NewUsers))
    }
    return known(Report, {**document, **tables, "instances": tuple(instances)})


def known(kind: type[Answer], document: Mapping[str, Any]) -> Answer:
    """A document's fields that this version knows: a later API may have more."""
    return kind(**{each.name: document[each.name] for each in fields(kind)})  # type: ignore[arg-type]


def _figures(document: Mapping[str, Any]) -> tuple[Figure, ...]:
    return tuple(known(Figure, each) for each in document["rows"])
