"""The table of events: what users did since training, and who is erased (its form in docs/contracts.md).

A user's events lie together, each under its own id, so that an id counts once and one consistent query finds
what was stored a moment ago. The table's stream is how events get to ``raw/`` (`fmrec.events.landing`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from fmrec.dataset.names import DEFAULT
from fmrec.events.event import Event
from fmrec.recommendations.table import WRITERS, naming_table
from fmrec.recommendations.table_keys import split_key, user_key

USER, ENTRY = "user_id", "entry"
EVENT_PREFIX, ERASED = "event#", "erased"
MAXIMUM_READ = 10_000
"""Events of one user that count, the first by id; expired ones are deleted by the table itself."""
KEYS_PER_READ = 100
"""BatchGetItem takes no more."""
DAY = 86_400

Item = dict[str, Any]


@dataclass(frozen=True)
class StoredEvents:
    """What the table knows of a user."""

    events: tuple[Event, ...] = ()
    erased_at: float | None = None
    """When the user was erased the last time; nothing from before counts."""


class EventTable:
    """Reads and writes events of one data set. Safe to use from several threads.

    Parameters
    ----------
    client
        `fmrec.recommendations.table.dynamodb_client`, made before threads share it.
    """

    def __init__(
        self,
        table: str,
        dataset: str = DEFAULT,
        *,
        client: Any,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.table, self._dataset, self.client, self.clock = table, dataset, client, clock

    def put(self, events: Sequence[Event], keep_days: int) -> list[bool]:
        """Store events; of each, whether it is new: an id of the same user that is stored already stays.

        Raises
        ------
        ServiceError
            DynamoDB refused or failed. Some may be stored; storing all again counts each once.
        """
        expires = int(self.clock()) + keep_days * DAY
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="events") as pool:
            return list(pool.map(partial(self._put, expires=expires), events))

    def of(self, user_id: str) -> StoredEvents:
        """A user's events and erasure, as of now.

        Raises
        ------
        ServiceError
            DynamoDB refused or failed.
        """
        events: list[Event] = []
        erased_at: float | None = None
        for item in self._items(user_id):
            if item[ENTRY]["S"] == ERASED:
                erased_at = _seconds(item)
            elif len(events) < MAXIMUM_READ:
                events.append(to_event(item))
            else:
                break
        return StoredEvents(tuple(events), erased_at)

    def erasures(self, user_ids: Sequence[str]) -> dict[str, float]:
        """When those of some users were erased who were.

        Raises
        ------
        ServiceError
            DynamoDB refused or failed.
        """
        keys = {user_key(self._dataset, user_id): user_id for user_id in user_ids}
        found: dict[str, float] = {}
        for start in range(0, len(keys), KEYS_PER_READ):
            wanted = [
                {USER: {"S": key}, ENTRY: {"S": ERASED}} for key in list(keys)[start : start + KEYS_PER_READ]
            ]
            request: Item = {self.table: {"Keys": wanted, "ConsistentRead": True}}
            while request:
                with naming_table(self.table):
                    answer = self.client.batch_get_item(RequestItems=request)
                for item in answer["Responses"].get(self.table, []):
                    found[keys[item[USER]["S"]]] = _seconds(item)
                request = answer.get("UnprocessedKeys", {})
        return found

    def erase(self, user_id: str) -> tuple[float, int]:
        """Note that a user is erased and delete the user's events: the time of erasure, and how many.

        Interactions from before that time, which lies after all deleted events, never count again.

        Raises
        ------
        ServiceError
            DynamoDB refused or failed; erase again.
        """
        found = [item for item in self._items(user_id) if is_event(item)]
        at = max([self.clock(), *map(_seconds, found)])
        milliseconds = int(at * 1000) + 1
        key = {USER: {"S": user_key(self._dataset, user_id)}}
        with naming_table(self.table):
            self.client.put_item(
                TableName=self.table, Item=key | {ENTRY: {"S": ERASED}, "at": {"N": str(milliseconds)}}
            )
            # What was stored between: it is from before the erasure, too.
            found = [item for item in self._items(user_id) if is_event(item)]
            with ThreadPoolExecutor(WRITERS, thread_name_prefix="events") as pool:
                list(pool.map(self._delete, found))
        return milliseconds / 1000, len(found)

    def _put(self, event: Event, expires: int) -> bool:
        item = to_item(event, self._dataset) | {"expires": {"N": str(expires)}}
        with naming_table(self.table):
            try:
                self.client.put_item(
                    TableName=self.table, Item=item, ConditionExpression=f"attribute_not_exists({USER})"
                )
            except self.client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _delete(self, item: Item) -> None:
        self.client.delete_item(TableName=self.table, Key={name: item[name] for name in (USER, ENTRY)})

    def _items(self, user_id: str) -> Iterator[Item]:
        wanted: Item = {
            "TableName": self.table,
            "KeyConditionExpression": f"{USER} = :user",
            "ExpressionAttributeValues": {":user": {"S": user_key(self._dataset, user_id)}},
            "ConsistentRead": True,
        }
        while True:
            with naming_table(self.table):
                page = self.client.query(**wanted)
            yield from page["Items"]
            if not (last := page.get("LastEvaluatedKey")):
                return
            wanted["ExclusiveStartKey"] = last


def to_item(event: Event, dataset: str) -> Item:
    """The event's item in DynamoDB's own JSON; times in milliseconds."""
    item: Item = {
        USER: {"S": user_key(dataset, event.user_id)},
        ENTRY: {"S": f"{EVENT_PREFIX}{event.event_id}"},
        "item_id": {"S": event.item_id},
        "at": {"N": str(round(event.at * 1000))},
    }
    if event.event is not None:
        item["event"] = {"S": event.event}
    if event.value is not None:
        item["value"] = {"S": repr(event.value)}  # DynamoDB's numbers have a smaller range
    return item


def to_event(item: Item) -> Event:
    """The reverse of `to_item`."""
    return Event(
        item[ENTRY]["S"].removeprefix(EVENT_PREFIX),
        split_key(item[USER]["S"])[1],
        item["item_id"]["S"],
        _seconds(item),
        item["event"]["S"] if "event" in item else None,
        float(item["value"]["S"]) if "value" in item else None,
    )


def _seconds(item: Item) -> float:
    return int(item["at"]["N"]) / 1000


def is_event(item: Item) -> bool:
    return str(item.get(ENTRY, {}).get("S", "")).startswith(EVENT_PREFIX)
