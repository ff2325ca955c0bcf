"""The DynamoDB table of recommendations: one item a user, its form in docs/contracts.md.

Writing is idempotent (a user's item is replaced), parallel and bounded: a few batches of 25 are under
way at a time, what DynamoDB leaves unprocessed is sent again with growing pauses.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from fmrec.dataset.names import DEFAULT
from fmrec.errors import InputError, ServiceError
from fmrec.recommendations.table_keys import POPULAR, popular_key, split_key, user_key

BATCH_ITEMS = 25
"""BatchWriteItem takes 25 requests at most."""
WRITERS = 8
ATTEMPTS = 9
"""With pauses doubling from 50 ms an item is given up after some 13 seconds."""


MODEL = "model"
POPULARITY = "popularity"
COLD_START = POPULAR
"""Stands for the user in the list for users that the table doesn't know; a segment's name may follow."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended item; rank 1 is the best."""

    item_id: str
    score: float
    rank: int


@dataclass(frozen=True)
class UserRecommendations:
    """What the table serves for one user, best first."""

    user_id: str
    recommendations: tuple[Recommendation, ...]
    model_version: str
    run: str
    generated_at: str
    basis: str = MODEL
    """What the list rests on: `MODEL`, `POPULARITY`, or popularity in a segment."""
    dataset: str = DEFAULT
    segments_uri: str | None = None
    """In the list for everybody: the file that says who belongs to which segment."""

    @property
    def key(self) -> str:
        """Where it lies in the table."""
        if self.basis == MODEL:
            return user_key(self.dataset, self.user_id)
        return popular_key(self.dataset, self.user_id.removeprefix(COLD_START))


def to_item(user: UserRecommendations) -> dict[str, Any]:
    """The user's item in DynamoDB's own JSON; scores keep float32's nine digits."""
    item: dict[str, Any] = {
        "user_id": {"S": user.key},
        "recommendations": {
            "L": [
                {"M": {"item_id": {"S": r.item_id}, "score": {"N": f"{r.score:.9g}"}, "rank": {"N": str(r.rank)}}}
                for r in user.recommendations
            ]
        },
        "model_version": {"S": user.model_version},
        "run": {"S": user.run},
        "generated_at": {"S": user.generated_at},
        "basis": {"S": user.basis},
    }  # fmt: skip
    return item | ({"segments_uri": {"S": user.segments_uri}} if user.segments_uri else {})


def from_item(item: dict[str, Any]) -> UserRecommendations:
    """The reverse of `to_item`."""
    dataset, user_id = split_key(item["user_id"]["S"])
    return UserRecommendations(
        user_id=user_id,
        recommendations=tuple(
            Recommendation(r["M"]["item_id"]["S"], float(r["M"]["score"]["N"]), int(r["M"]["rank"]["N"]))
            for r in item["recommendations"]["L"]
        ),
        model_version=item["model_version"]["S"],
        run=item["run"]["S"],
        generated_at=item["generated_at"]["S"],
        basis=item["basis"]["S"],
        dataset=dataset,
        segments_uri=item["segments_uri"]["S"] if "segments_uri" in item else None,
    )


class Writer:
    """Writes users' items in the background; leave the ``with`` block to know that all are written.

    Raises
    ------
    ServiceError
        From `write` or at the end of the block: DynamoDB refused a batch, or kept leaving items
        unprocessed.
    """

    def __init__(self, table: str, client: Any) -> None:
        self._table = table
        self._client = client
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="dynamodb")
        self._under_way: list[Future[None]] = []

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._settle(0)
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, users: Iterable[UserRecommendations]) -> None:
        """Queue users; waits while too many batches are under way."""
        puts = ({"PutRequest": {"Item": to_item(user)}} for user in users)
        for batch in _batches(puts, BATCH_ITEMS):
            self._settle(2 * WRITERS)
            self._under_way.append(self._pool.submit(_write_batch, self._client, self._table, batch))

    def _settle(self, remaining: int) -> None:
        while len(self._under_way) > remaining:
            self._under_way.pop(0).result()


def fetch(table: str, user_id: str, client: Any = None, *, dataset: str = DEFAULT) -> UserRecommendations:
    """Read one user's recommendations.

    Raises
    ------
    InputError
        The table has no recommendations for that user.
    ServiceError
        DynamoDB refused or failed.
    """
    found = find(table, user_key(dataset, user_id), client or dynamodb_client())
    if found is None:
        raise InputError(
            f"table {table} has no recommendations for user {user_id!r}: the user was not in the "
            "interactions of the last run, or no run has published yet"
        )
    return found


def serve(
    table: str, user_id: str, segment: str | None = None, client: Any = None, *, dataset: str = DEFAULT
) -> UserRecommendations:
    """Read what to show a user, known or not; `basis` says what the list rests on.

    A user whom the model knows gets the model's list. Anybody else gets what is popular in their
    `segment`, if one is given and known, or else what is popular with everybody.

    Raises
    ------
    InputError
        No run has published yet.
    ServiceError
        DynamoDB refused or failed.
    """
    client = client or dynamodb_client()
    segments = ([segment] if segment else []) + [""]
    keys = [user_key(dataset, user_id), *(popular_key(dataset, each) for each in segments)]
    for key in keys:
        found = find(table, key, client)
        if found is not None:
            return replace(found, user_id=user_id)
    raise InputError(
        f"table {table} has no recommendations of the data set {dataset!r}, not even the popular ones: run the "
        "workflow first"
    )


def find(table: str, key: str, client: Any) -> UserRecommendations | None:
    """The list at a key (`fmrec.recommendations.table_keys`); None if there is none."""
    with naming_table(table):
        answer = client.get_item(TableName=table, Key={"user_id": {"S": key}})
    return from_item(answer["Item"]) if "Item" in answer else None


def dynamodb_client() -> Any:
    """A client with region, credentials and endpoint from the environment."""
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        max_pool_connections=WRITERS,
        parameter_validation=False,  # it takes longer than all else that a client does for a batch of lists
    )
    return boto3.client("dynamodb", config=config)


@contextlib.contextmanager
def naming_table(table: str) -> Iterator[None]:
    """Turn botocore's errors into ServiceError, which names the table."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise ServiceError(f"table {table}: DynamoDB answered: {error}") from error
    except BotoCoreError as error:
        raise ServiceError(f"table {table}: DynamoDB could not be asked: {error}") from error


def _write_batch(client: Any, table: str, requests: list[dict[str, Any]]) -> None:
    pause = 0.05
    for _ in range(ATTEMPTS):
        with naming_table(table):
            answer = client.batch_write_item(RequestItems={table: requests})
        requests = answer.get("UnprocessedItems", {}).get(table, [])
        if not requests:
            return
        time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - spreads retries, guards nothing
        pause *= 2
    raise ServiceError(
        f"table {table}: DynamoDB left {len(requests)} of {BATCH_ITEMS} items unprocessed after {ATTEMPTS} "
        "attempts: it is throttled; use on-demand capacity or raise the table's write capacity"
    )


def _batches(requests: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(requests)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
