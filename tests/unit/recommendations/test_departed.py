"""Lists of users who are gone leave the table; all others stay."""

from dataclasses import replace
from typing import Any

import pytest

from fmrec.errors import InputError
from fmrec.recommendations.departed import remove_departed
from fmrec.recommendations.table import Recommendation, UserRecommendations, Writer, fetch, serve

LIST = UserRecommendations("u1", (Recommendation("i1", 0.5, 1),), "fm-1", "monday", "2026-11-28T10:00:00Z")


def write(table: str, client: Any, *lists: UserRecommendations) -> None:
    with Writer(table, client) as writer:
        writer.write(lists)


def test_users_who_are_gone_are_removed_from_their_own_data_set_only(dynamodb: Any, table: str) -> None:
    popular = replace(LIST, user_id="*", basis="popularity")
    segment = replace(LIST, user_id="*young", basis="popularity in young")
    odd = replace(LIST, user_id="*u/2")
    kept = [replace(LIST, model_version="fm-2"), replace(popular, model_version="fm-2")]
    gone = [replace(LIST, user_id=f"gone-{n}") for n in range(60)]
    books = [replace(each, dataset="books") for each in (LIST, popular, segment, odd)]
    bookshop = replace(LIST, dataset="bookshop")
    write(table, dynamodb, LIST, popular, segment, odd, *gone, *books, bookshop)
    write(table, dynamodb, *kept)

    first = remove_departed(table=table, dataset="default", model_version="fm-2", dynamodb=dynamodb)
    again = remove_departed(table=table, dataset="default", model_version="fm-2", dynamodb=dynamodb)

    assert (first, again) == ({"removed": 62}, {"removed": 0})
    assert fetch(table, "u1", dynamodb).model_version == "fm-2"
    assert serve(table, "gone-1", "young", dynamodb).basis == "popularity"
    for each in (LIST, odd):
        assert fetch(table, each.user_id, dynamodb, dataset="books") == replace(each, dataset="books")
    assert remove_departed(table=table, dataset="books", model_version="b-1", dynamodb=dynamodb) == {
        "removed": 4
    }
    with pytest.raises(InputError):
        serve(table, "u1", client=dynamodb, dataset="books")
    assert fetch(table, "u1", dynamodb, dataset="bookshop").user_id == "u1"


def test_what_is_no_list_stays(dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item={"user_id": {"S": "x"}, "model_version": {"S": "old"}})
    assert (
        remove_departed(table=table, dataset="default", model_version="new", dynamodb=dynamodb)["removed"]
        == 0
    )
