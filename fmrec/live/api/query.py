"""Filters of a list as a request's query says them; bodies have them as JSON (`fmrec.live.api.schemas`)."""

from __future__ import annotations

import re
from typing import Annotated, TypedDict

from aws_lambda_powertools.event_handler.openapi.params import Query

from fmrec.errors import InputError
from fmrec.live.answers import MAXIMUM_ITEMS
from fmrec.live.api.schemas import MAXIMUM_ATTRIBUTES, MAXIMUM_VALUES

Count = Annotated[int, Query(ge=1, le=MAXIMUM_ITEMS, description="Length of the list")]
Ids = Annotated[str | None, Query(description="Item ids, separated by commas")]
Pairs = Annotated[
    str | None,
    Query(description="attribute:value, separated by commas; a comma within a value is written \\,"),
]
Maxima = Annotated[str | None, Query(description="attribute:number, separated by commas")]
Diversity = Annotated[float, Query(ge=0, le=1, description="From 0, best first, to 1, unlike each other")]


class Filters(TypedDict):
    """As `fmrec.live.answers.Request` takes them."""

    allow: frozenset[str] | None
    deny: frozenset[str]
    where: dict[str, frozenset[str]]
    where_not: dict[str, frozenset[str]]
    maximum_per: dict[str, int]


def filters(
    allow: str | None,
    deny: str | None,
    where: str | None,
    where_not: str | None,
    maximum_per: str | None,
) -> Filters:
    """Read the query's texts.

    Raises
    ------
    InputError
        One is not as its description says.
    """
    return {
        "allow": None if allow is None else _ids(allow),
        "deny": _ids(deny),
        "where": _values(where, "where"),
        "where_not": _values(where_not, "where_not"),
        "maximum_per": _maxima(maximum_per),
    }


def _ids(text: str | None) -> frozenset[str]:
    return frozenset(part for part in (text or "").split(",") if part)


def _pairs(text: str | None, place: str) -> list[tuple[str, str]]:
    pairs = []
    for part in re.split(r"(?<!\\),", text or ""):
        name, _, value = part.replace("\\,", ",").partition(":")
        if name and value:
            pairs.append((name, value))
        elif part:
            raise InputError(f"{place} has {part!r}: expected attribute:value, separated by commas")
    if len({name for name, _ in pairs}) > MAXIMUM_ATTRIBUTES:
        raise InputError(f"{place} names more than {MAXIMUM_ATTRIBUTES} attributes")
    return pairs


def _values(text: str | None, place: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for name, value in _pairs(text, place):
        found.setdefault(name, set()).add(value)
    for name, values in found.items():
        if len(values) > MAXIMUM_VALUES:
            raise InputError(
                f"{place} has {len(values)} values of {name!r}: expected at most {MAXIMUM_VALUES}"
            )
    return {name: frozenset(values) for name, values in found.items()}


def _maxima(text: str | None) -> dict[str, int]:
    found = {}
    for name, value in _pairs(text, "maximum_per"):
        if not re.fullmatch(r"\d{1,3}", value, re.ASCII) or not 1 <= int(value) <= MAXIMUM_ITEMS:
            raise InputError(
                f"maximum_per.{name} is {value!r}: expected an integer from 1 to {MAXIMUM_ITEMS}"
            )
        found[name] = int(value)
    return found
