"""What leaves nothing to learn from is refused, with the setting and what is in the data."""

import re
from typing import Any

import pytest

from fmrec.dataset import Dataset
from fmrec.encoding.training_check import Outcome, check_training
from fmrec.errors import InputError

TIMED = {"columns": {"user": "u", "item": "i", "value": "r", "timestamp": "t", "event": "e"}}
IMPLICIT = {"mode": "implicit"}


class Facts:
    def most_interactions_of_a_user(self) -> int:
        return 3

    def values(self) -> tuple[float, float] | None:
        return 1, 5

    def times(self) -> tuple[float, float] | None:
        return 1_600_000_000, 1_600_086_400


def check(outcome: dict[str, Any], **document: Any) -> list[str]:
    counts = {"read": 6, "train": 0, "positives": 0, "held_out": 0, "not_picked": 0, "below_minimum": 0}
    dataset = Dataset.from_document({"interactions": TIMED} | document)
    return check_training(dataset, Outcome(**(counts | {"unknown": 0} | outcome)), Facts())


@pytest.mark.parametrize(
    ("outcome", "document", "sentence"),
    [
        ({"held_out": 6}, {}, "no training row is left of 6 rows read (6 held out for test): split.method 'leave-first-n' holds out each user's first 10 interactions, and no user has more than 3"),
        ({"held_out": 6}, {"split": {"method": "leave-last-n", "n": 4}}, "each user's last 4 interactions, and no user has more than 3"),
        ({"held_out": 6}, {"split": {"method": "time-cut", "at": "2020-01-01"}}, "split.at is 2020-01-01T00:00:00Z, and times go from 2020-09-13T12:26:40Z to 2020-09-14T12:26:40Z"),
        ({"held_out": 6}, {"split": {"method": "time-cut", "at": -1e15}}, "split.at is -1000000000000000 seconds since 1970, and times go from"),
        ({"held_out": 6}, {"split": {"method": "random", "share": 0.9}}, "split.share is 0.9"),
        ({"not_picked": 6, "events": {"view": 4, "addtocart": 2}}, {"label": IMPLICIT | {"event_weights": {"View": 1, "AddToCart": 3}}}, "label.event_weights names View and AddToCart, which no row has; the rows have view (4), addtocart (2): correct the names"),
        ({"not_picked": 6, "events": {"view": 6}}, {"label": IMPLICIT | {"event_weights": {"view": 0.01}}}, "a small chance: raise a weight"),
        ({"not_picked": 6}, {"label": IMPLICIT | {"threshold": 40}}, "label.threshold is 40, and values go from 1 to 5: lower the threshold"),
        ({"below_minimum": 6}, {"minimum_interactions": {"user": 5, "item": 2}}, "no user with 5 interactions has one with an item that has 2: lower minimum_interactions"),
        ({"train": 6}, {"label": {"mode": "binary", "threshold": 40}}, "no training label is 1: label.threshold is 40, and values go from 1 to 5"),
    ],
)  # fmt: skip
def test_what_leaves_nothing_to_learn_from_is_refused_with_its_setting(
    outcome: dict[str, Any], document: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        check(outcome, **document)


@pytest.mark.parametrize(
    ("outcome", "document", "warnings"),
    [
        ({"train": 5, "positives": 2, "held_out": 1}, {}, []),
        ({"train": 6, "positives": 2}, {"split": {"method": "none"}}, []),
        ({"train": 6, "positives": 6}, {"split": {"method": "none"}}, ["every training label is 1: label.threshold is 4, and values go from 1 to 5"]),
        ({"train": 6}, {"split": {"method": "none"}, "label": {"mode": "regression"}}, []),
        ({"train": 6, "positives": 2}, {"split": {"method": "time-cut", "at": "2030-01-01"}}, ["nothing is held out for test: split.at is 2030-01-01T00:00:00Z, and times go from 2020-09-13T12:26:40Z to 2020-09-14T12:26:40Z"]),
        ({"train": 4, "positives": 4, "held_out": 2, "events": {"view": 5, "buy": 1}}, {"label": IMPLICIT | {"event_weights": {"view": 1, "Buy": 3, "zoom": 0}}}, ["label.event_weights names Buy, which no row has; the rows have view (5), buy (1)"]),
    ],
)  # fmt: skip
def test_what_matches_nothing_and_still_leaves_rows_is_warned_of(
    outcome: dict[str, Any], document: dict[str, Any], warnings: list[str]
) -> None:
    assert check(outcome, **document) == warnings
