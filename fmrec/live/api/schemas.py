"""What callers send and get, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from fmrec.live.answers import MAXIMUM_ITEMS, Answers, Request, Source

MAXIMUM_HISTORY = 10_000
MAXIMUM_RANKED = 1000
MAXIMUM_EVENTS = 1000
MAXIMUM_NAMED = 1000

MAXIMUM_ATTRIBUTES = 10
MAXIMUM_VALUES = 100

ItemId = Annotated[str, Field(min_length=1, max_length=1024)]
AttributeName = Annotated[str, Field(min_length=1, max_length=256)]
AttributeValue = Annotated[str, Field(min_length=1, max_length=1024)]


class Body(BaseModel):
    """A request's body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Interaction(Body):
    """One item of a history."""

    item_id: ItemId
    event: str | None = None
    """Its kind, where the data set weighs kinds."""
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """A rating or an amount, where the data set has a threshold."""


History = Annotated[list[Interaction], Field(max_length=MAXIMUM_HISTORY)]


Conditions = Annotated[
    dict[AttributeName, Annotated[list[AttributeValue], Field(min_length=1, max_length=MAXIMUM_VALUES)]],
    Field(max_length=MAXIMUM_ATTRIBUTES),
]
Maxima = Annotated[
    dict[AttributeName, Annotated[int, Field(ge=1, le=MAXIMUM_ITEMS)]], Field(max_length=MAXIMUM_ATTRIBUTES)
]


class SessionRequest(Body):
    """Recommendations for a history that only this request knows."""

    history: History
    n: Annotated[int, Field(ge=1, le=MAXIMUM_ITEMS)] = 10
    allow: list[ItemId] | None = None
    deny: list[ItemId] = []
    where: Conditions = {}
    """By attribute of items: only items that have one of these values."""
    where_not: Conditions = {}
    """By attribute of items: only items that have none of these values."""
    maximum_per: Maxima = {}
    """By attribute of items: at most so many items that share a value."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    include_seen: bool = False
    because: Annotated[int, Field(ge=0, le=100)] = 0
    segment: str | None = None

    def request(self) -> Request:
        return Request(
            self.n,
            allow=None if self.allow is None else frozenset(self.allow),
            deny=frozenset(self.deny),
            where={name: frozenset(values) for name, values in self.where.items()},
            where_not={name: frozenset(values) for name, values in self.where_not.items()},
            maximum_per=self.maximum_per,
            diversity=self.diversity,
            include_seen=self.include_seen,
            because=self.because,
        )


class RankRequest(Body):
    """Order these items for a user or a history: one of both."""

    item_ids: Annotated[list[ItemId], Field(min_length=1, max_length=MAXIMUM_RANKED)]
    user_id: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    history: History | None = None


class PostedEvent(Body):
    """One interaction that happened."""

    event_id: Annotated[str, Field(min_length=1, max_length=128)]
    """Of the caller's choice: with one user, an id counts once."""
    user_id: Annotated[str, Field(min_length=1, max_length=1024)]
    item_id: ItemId
    at: AwareDatetime | None = None
    """When it happened, in ISO 8601 with an offset; by default now."""
    event: str | None = None
    """Its kind, where the data set has a column of kinds, and then required."""
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """A rating or an amount, where the data set has a column of values, and then required."""


def _one_or_several(schema: dict[str, Any]) -> None:
    batch = {key: schema.pop(key) for key in ("type", "properties", "required", "additionalProperties")}
    schema["anyOf"] = [batch, batch["properties"]["events"]["items"]]


class EventsRequest(Body):
    """Events to store: ``{"events": [...]}``, or one event."""

    model_config = ConfigDict(json_schema_extra=_one_or_several)

    events: Annotated[list[PostedEvent], Field(min_length=1, max_length=MAXIMUM_EVENTS)]

    @model_validator(mode="before")
    @classmethod
    def _one(cls, given: Any) -> Any:
        return {"events": [given]} if isinstance(given, dict) and "events" not in given else given


class EventsReceipt(BaseModel):
    """What became of the events; all are stored now."""

    stored: int
    """Events that are new."""
    duplicates: int
    """Events whose ids had been stored for their users before; what was stored first counts."""


class Removed(BaseModel):
    """What is gone."""

    lists: int
    """Published lists of the user: one or none."""
    events: int
    """Stored events of the user."""


class Pending(BaseModel):
    """What is left of the user, and how it ends."""

    where: str
    what: str
    ends: str


class ErasureReceipt(BaseModel):
    """What an erasure has removed, and what is left."""

    user_id: str
    erased_at: datetime
    """Nothing that happened before counts any more."""
    removed: Removed
    pending: list[Pending]


class Because(BaseModel):
    """An item of the history, and what it adds to the score."""

    item_id: str
    contribution: float


class Item(BaseModel):
    """One item of a list; rank 1 is the best."""

    item_id: str
    score: float
    rank: int
    because: list[Because] | None = None


class ItemList(BaseModel):
    """A list, and what it rests on."""

    source: Source
    items: list[Item]
    model_version: str
    run: str
    ignored_items: list[str]
    """Items of the history or the request that the model doesn't know."""

    @classmethod
    def of(cls, answers: Answers, *, explained: bool = False) -> ItemList:
        items = [
            Item(
                item_id=item.item_id,
                score=item.score,
                rank=item.rank,
                because=(
                    [Because(item_id=r.item_id, contribution=r.contribution) for r in item.because]
                    if explained
                    else None
                ),
            )
            for item in answers.items
        ]
        return cls(
            source=answers.source,
            items=items,
            model_version=answers.model_version,
            run=answers.run,
            ignored_items=list(answers.ignored_items),
        )


class LikelyUser(BaseModel):
    """A user who may want an item; rank 1 is the likeliest."""

    user_id: str
    score: float
    rank: int


class Audience(BaseModel):
    """Trained users who have not interacted with an item, by how likely they are to want it."""

    item_id: str
    users: list[LikelyUser]
    model_version: str
    run: str


class NamesRequest(Body):
    """Names of these items."""

    item_ids: Annotated[list[ItemId], Field(max_length=MAXIMUM_NAMED)]


class ItemName(BaseModel):
    """What an item is called, and what else is to be shown of it."""

    item_id: str
    name: str
    details: str


class ItemNameList(BaseModel):
    """Items with names; none where the API has no file of names (setting ``api.item_names``)."""

    items: list[ItemName]


class AttributeCount(BaseModel):
    """A value of an attribute, and how many items have it."""

    value: str
    items: int


class AttributeValues(BaseModel):
    """An attribute of items that lists are filtered by, and its values, the most frequent first."""

    name: str
    values: list[AttributeCount]
    distinct: int
    """Values in all, listed or not."""


class AttributeList(BaseModel):
    """What lists are filtered by."""

    attributes: list[AttributeValues]


class Click(BaseModel):
    """What an event needs, for a click that means "liked it"."""

    value: float | None
    """The least value that counts as liked; null where the data set has no column of values."""
    event: list[str] | None
    """Kinds, the weightiest first; null where the data set has no column of kinds."""


class Model(BaseModel):
    """The model that serves."""

    dataset: str
    run: str
    model_version: str
    since: str
    users: int
    items: int
    click: Click
    names: bool
    """Whether items have names."""


class Figure(BaseModel):
    """One measured value of a table."""

    name: str
    value: float


class Quality(BaseModel):
    """A metric of all lists, the model's own and others', the best first."""

    metric: str
    users: int
    own: str
    """The row that is the model's."""
    rows: list[Figure]


class NewUsers(BaseModel):
    """A metric of lists of users who are folded in."""

    metric: str
    users: int
    who: str
    rows: list[Figure]


class ChosenInstance(BaseModel):
    """What a step ran on, and what it cost."""

    step: str
    instance: str
    why: str
    refused: list[str]
    usd_per_hour: float | None
    usd: float | None


class Report(BaseModel):
    """Quality, instances and cost of the run whose model serves."""

    run: str
    verdict: str
    quality: Quality | None
    new_users: NewUsers | None
    instances: list[ChosenInstance]
    usd: float | None
    usd_per_month: float | None
    """Of the endpoint, as long as it stands."""


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
