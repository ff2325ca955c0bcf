"""From what was found in the files to a data set document: sources, label, split, features and limits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fmrec.dataset.column_names import event_weight, verdict
from fmrec.inspection.attributes import Description
from fmrec.inspection.encodings import UTF8
from fmrec.inspection.profiles import Profile
from fmrec.inspection.roles import Roles
from fmrec.inspection.tables import Table

LIKED = 0.75
"""Values from this share of the highest on are taken for a like."""
REPEATED = 0.01
"""Above this share of repeated pairs the document says what they mean."""
RATING_TOPS = (5.0, 10.0, 100.0)
"""Scales at whose foot a 0 usually means "not rated"."""


@dataclass
class Suggestion:
    """A data set document, and why it says what it says, by setting."""

    document: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)


def suggest(interactions: Table, roles: Roles, sides: Iterable[tuple[Table, Description]] = ()) -> Suggestion:
    """Write the document for interactions and what describes their users and items."""
    suggestion = Suggestion({})
    value = interactions.profiles.get(roles.name("value") or "")
    event = interactions.profiles.get(roles.name("event") or "")
    repeated = _repeated(interactions, roles)
    not_rated = [] if value is None or event or roles.counts else _not_rated(value)
    columns = {role: choice.field for role, choice in roles.choices.items()}
    if event is not None:
        columns.pop("value", None)
        value = None
    order = ("user", "item", "value", "timestamp", "event")
    columns = {role: columns[role] for role in order if role in columns}
    section = source_settings(interactions, set(columns.values()))
    if interactions.headless and not columns.keys() & {"value", "timestamp"}:
        # Nothing else would tell the header's line from a row.
        section["missing"] = sorted({*section.get("missing", []), columns["user"]})
    section["columns"] = columns
    time = interactions.profiles[columns["timestamp"]].time if "timestamp" in columns else None
    if time is not None and time.name != "seconds":
        section["timestamp_format"] = time.name
    item = interactions.profiles[columns["item"]]
    if _holds_lists(item):
        section["item_separator"] = item.separator
        suggestion.reasons["interactions.item_separator"] = (
            f"{item.name} holds {item.mean_words:.1f} items on average: each becomes an interaction with the row's time"
        )
    if not_rated:
        section["not_rated"] = [text for text, _ in not_rated]
        share = sum(count for _, count in not_rated) / max(value.filled if value else 1, 1)
        suggestion.reasons["interactions.not_rated"] = (
            f'{share:.0%} of the values are {not_rated[0][0]}, outside of the scale: they mean "not rated"'
        )
    suggestion.document["interactions"] = section
    _label(suggestion, value, event, roles.counts, not_rated)
    _split(suggestion, "timestamp" in columns)
    if repeated > REPEATED or "item_separator" in section:
        _duplicates(suggestion, repeated, value, roles.counts, "item_separator" in section)
    _sides(suggestion, sides)
    return suggestion


def source_settings(table: Table, used: set[str]) -> dict[str, Any]:
    """Return the settings of a source that differ from the defaults; ``used``: the fields that matter."""
    settings: dict[str, Any] = {"path": table.group.path}
    if table.format != "csv":
        settings["format"] = table.format
    dialect = table.dialect
    if dialect is not None:
        tabs = table.format == "tsv"
        if dialect.delimiter != ("\t" if tabs else ","):
            settings["delimiter"] = dialect.delimiter
        # A file without quotes needs no other setting than the default, unless they stand in its texts.
        if dialect.quote != ("" if tabs else '"') and (dialect.quote or _has_quotes(table)):
            settings["quote"] = dialect.quote
        if dialect.escape:
            settings["escape"] = dialect.escape
        if dialect.multiline:
            settings["multiline"] = True
        if dialect.comment:
            settings["comment"] = dialect.comment
        if not table.header:
            settings["header"] = False
        if not table.header or table.renamed:
            settings["fields"] = table.fields
    if table.encoding.name != UTF8:
        settings["encoding"] = table.encoding.name
    missing = dict.fromkeys(text for name in used for text in table.profiles[name].missing)
    if missing:
        settings["missing"] = sorted(missing)
    if any(table.profiles[name].comma for name in used):
        settings["decimal"] = ","
    return settings


def threshold_of(value: Profile, not_rated: Iterable[str] = ()) -> float:
    """Return the value from which on a rating is taken for a like."""
    left = {float(text) for text in not_rated if _number(text) is not None}
    numbers = [number for number in value.numbers if number not in left] or [value.maximum or 1.0]
    top = max(numbers)
    if top <= 1:
        return 1.0 if set(numbers) <= {-1.0, 0.0, 1.0} else round(LIKED * top, 2)
    return float(math.ceil(LIKED * top))


def _has_quotes(table: Table) -> bool:
    return any('"' in cell for cells in table.columns.values() for cell in cells if isinstance(cell, str))


def _holds_lists(item: Profile) -> bool:
    return item.separator is not None and item.mean_words > 1.2 and item.kind in ("text", "list")


def _not_rated(value: Profile) -> list[tuple[str, int]]:
    """Return the texts of the value, with their counts, that lie outside of the scale of all others."""
    numbers = value.numbers
    if len(numbers) < 3 or any(number % 1 for number in numbers):
        return []
    low, high = numbers[0], numbers[-1]
    rest = numbers[1:]
    if low == 0 and rest[0] >= 1 and high in RATING_TOPS:
        zero, next_one = _counted(value, 0.0), _counted(value, rest[0])
        if sum(count for _, count in zero) > sum(count for _, count in next_one):
            return zero
    if low == -1 and rest[0] >= 0 and high in RATING_TOPS:
        return _counted(value, -1.0)
    return []


def _counted(value: Profile, number: float) -> list[tuple[str, int]]:
    return [(text, count) for text, count in value.top if _number(text) == number]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _label(
    suggestion: Suggestion,
    value: Profile | None,
    event: Profile | None,
    counts: bool,
    not_rated: list[tuple[str, int]],
) -> None:
    label: dict[str, Any] = {"mode": "implicit"}
    if event is not None:
        texts = [text for text, _ in event.top]
        weights = event_weights(texts)
        label["event_weights"] = weights
        reason = "purchases say more than views; check the weights"
        unknown = [text for text in weights if event_weight(text) is None]
        if verdict(texts):
            reason = f"{event.name} says what the user liked"
        elif unknown:
            reason = f"the words of {', '.join(unknown)} are unknown: they weigh 1; check the weights"
    elif value is None:
        reason = "the files have no ratings: every interaction is something that the user picked"
    elif counts:
        reason = f"{value.name} counts: every interaction is something that the user picked"
        if value.minimum is not None and value.minimum <= 0:
            label["threshold"] = 1
            reason = f"{value.name} counts; values below 1 (down to {value.minimum:g}) take something back"
    else:
        threshold = threshold_of(value, [text for text, _ in not_rated])
        label["threshold"] = int(threshold) if threshold == int(threshold) else threshold
        reason = (
            f"ratings go up to {value.maximum:g}: {threshold:g} and more is taken for a like. To predict ratings "
            f'instead of lists use {{"mode": "binary", "threshold": {threshold:g}}}'
        )
    suggestion.document["label"] = label
    suggestion.reasons["label"] = reason


def event_weights(events: Iterable[str]) -> dict[str, float]:
    """Weigh events by the words of their names; the heaviest weighs at least 1."""
    events = list(events)
    if said := verdict(events):
        return said
    known = {event: event_weight(event) for event in events}
    weights = {event: 1.0 if weight is None else weight for event, weight in known.items()}
    top = max(weights.values(), default=0.0)
    if top == 0:
        return dict.fromkeys(weights, 1.0)
    return {event: weight / top if top < 1 else weight for event, weight in weights.items()}


def _split(suggestion: Suggestion, timed: bool) -> None:
    if timed:
        suggestion.document["split"] = {"method": "leave-last-n", "n": 1}
        suggestion.reasons["split"] = (
            "there are times: each user's latest interaction is what lists should foresee"
        )
    else:
        suggestion.document["split"] = {"method": "random", "share": 0.1}
        suggestion.reasons["split"] = "there are no times: a tenth of the pairs, drawn at random"


def _repeated(table: Table, roles: Roles) -> float:
    """Return the share of the sampled rows whose user interacted with the item in an earlier one."""
    user, item = roles.name("user"), roles.name("item")
    if user is None or item is None or not table.rows:
        return 0.0
    pairs = Counter(
        (one, tuple(two) if isinstance(two, list) else two)
        for one, two in zip(table.columns[user], table.columns[item], strict=True)
        if one and two
    )
    return 1 - len(pairs) / max(sum(pairs.values()), 1)


def _duplicates(
    suggestion: Suggestion, repeated: float, value: Profile | None, counts: bool, lists: bool
) -> None:
    shown = f"{repeated:.0%} of the sampled rows repeat a user and an item"
    if lists:
        suggestion.document["duplicates"] = "keep-last"
        suggestion.reasons["duplicates"] = "a user's lists repeat earlier ones: an item counts once"
    elif value is not None and counts:
        suggestion.document["duplicates"] = "sum"
        suggestion.reasons["duplicates"] = f"{shown}: {value.name} is added up"
    elif value is not None:
        suggestion.document["duplicates"] = "keep-last"
        suggestion.reasons["duplicates"] = f"{shown}: the last rating counts"
    else:
        suggestion.reasons["duplicates"] = f"{shown}: all of them count; keep-last would count them once"


def _sides(suggestion: Suggestion, sides: Iterable[tuple[Table, Description]]) -> None:
    features: list[dict[str, Any]] = []
    taken = {"user", "item"}
    for table, description in sides:
        if not description.features:
            continue
        settings = source_settings(table, description.fields | {description.id})
        suggestion.document[f"{description.of}s"] = settings | {"id": description.id}
        for feature in description.features:
            chosen = dict(feature)
            if chosen["name"] in taken:
                chosen.setdefault("column", chosen["name"])
                chosen["name"] = f"{description.of}_{chosen['name']}".replace("__", "_")
            taken.add(chosen["name"])
            features.append(chosen)
    if features:
        suggestion.document["features"] = features
