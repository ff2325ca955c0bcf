from typing import Any

import botocore.exceptions
import pytest

from fmrec.errors import InputError, ServiceError
from fmrec.recommendations.table import Recommendation, UserRecommendations, Writer, fetch, from_item, to_item


def user(number: int) -> UserRecommendations:
    recommendations = (Recommendation("i 1", 0.123456789, 1), Recommendation("é", 1e-7, 2))
    return UserRecommendations(f"u{number}", recommendations, "m1", "r1", "2026-11-21T10:00:00+00:00")


class Throttled:
    """DynamoDB that leaves some requests unprocessed, the first `times` times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.written: list[str] = []

    def batch_write_item(self, RequestItems: Any) -> Any:
        ((table, requests),) = RequestItems.items()
        keep = (len(requests) + 1) // 2 if self.times > 0 else 0
        self.times -= 1
        self.written += [r["PutRequest"]["Item"]["user_id"]["S"] for r in requests[keep:]]
        return {"UnprocessedItems": {table: requests[:keep]} if keep else {}}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmrec.recommendations.table.time.sleep", lambda seconds: None)


def test_an_item_has_the_contract_form() -> None:
    assert to_item(user(1)) == {
        "user_id": {"S": "u1"},
        "recommendations": {
            "L": [
                {"M": {"item_id": {"S": "i 1"}, "score": {"N": "0.123456789"}, "rank": {"N": "1"}}},
                {"M": {"item_id": {"S": "é"}, "score": {"N": "1e-07"}, "rank": {"N": "2"}}},
            ]
        },
        "model_version": {"S": "m1"},
        "run": {"S": "r1"},
        "generated_at": {"S": "2026-11-21T10:00:00+00:00"},
        "basis": {"S": "model"},
    }
    assert from_item(to_item(user(1))) == user(1)


def test_written_users_are_fetched_as_they_were(dynamodb: Any, table: Any) -> None:
    with Writer(table, dynamodb) as writer:
        writer.write(user(n) for n in range(60))
    assert fetch(table, "u59", dynamodb) == user(59)
    assert dynamodb.scan(TableName=table)["Count"] == 60


def test_unprocessed_items_are_sent_again_until_all_are_written() -> None:
    client = Throttled(times=6)
    with Writer("t", client) as writer:
        writer.write(user(n) for n in range(70))
    assert sorted(client.written) == sorted(f"u{n}" for n in range(70))


def test_a_table_that_stays_throttled_is_given_up_with_a_sentence() -> None:
    writer = Writer("t", Throttled(times=10**9))
    with pytest.raises(ServiceError, match=r"left .* unprocessed after 9 attempts: it is throttled"), writer:
        writer.write([user(n) for n in range(20)] * 50)


def test_a_refusal_names_the_table(dynamodb: Any) -> None:
    with (
        pytest.raises(ServiceError, match=r"table nowhere: DynamoDB answered: .*ResourceNotFound"),
        Writer("nowhere", dynamodb) as writer,
    ):
        writer.write([user(1)])
    with pytest.raises(ServiceError, match="table nowhere"):
        fetch("nowhere", "u1", dynamodb)


def test_an_error_inside_the_block_is_not_hidden_by_the_writer() -> None:
    class Broken:
        def batch_write_item(self, RequestItems: Any) -> None:
            raise botocore.exceptions.EndpointConnectionError(endpoint_url="http://x")

    def users() -> Any:
        yield user(1)
        raise KeyError

    with pytest.raises(KeyError), Writer("t", Broken()) as writer:
        writer.write(users())


def test_a_user_without_recommendations_is_named(dynamodb: Any, table: Any) -> None:
    with pytest.raises(InputError, match="no recommendations for user 'nobody'"):
        fetch(table, "nobody", dynamodb)
