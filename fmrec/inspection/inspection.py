"""Look at a user's files and suggest the data set document that describes them."""

from __future__ import annotations

import math
import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fmrec.dataset import Dataset
from fmrec.inspection.attributes import Description, describe
from fmrec.inspection.expected_quarantine import Expected, expect_quarantine, most_common
from fmrec.inspection.listing import Group, Listing, group_files, join_groups, list_files
from fmrec.inspection.profiles import Cell
from fmrec.inspection.recipes import Recipe, find_join, is_wide
from fmrec.inspection.roles import Roles, find_roles, rating_in_words, rename_by_role
from fmrec.inspection.suggestion import Suggestion, suggest
from fmrec.inspection.tables import Table, Unreadable, read_table

MOST_GROUPS = 60
PARTS_OF_OTHERS = ("train", "test", "base", "valid", "validation", "dev", "sample", "probe", "qualifying")
"""Words in names of files that hold a part of the rows of another one."""
INTERACTION_FILES = (
    "rating", "ratings", "interaction", "interactions", "event", "events", "click", "clicks", "review", "reviews",
    "transaction", "transactions", "behaviors", "views", "purchases",
)  # fmt: skip
CLOSE = 0.45
SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+\d+")
FEWEST_IDS = 20
"""Ids of both sides needed to say that none match."""


@dataclass(frozen=True)
class Seen:
    """A table with what it was taken for: interactions, users, items, or other."""

    table: Table
    roles: Roles
    kind: str = "other"
    description: Description | None = None
    reason: str = ""


@dataclass
class Inspection:
    """What was found. ``document`` is None if no document describes the files as they are.

    ``question``: the one thing that the files don't decide; the document has the likelier answer.
    """

    path: str
    root: str
    files: int
    size: int
    tables: list[Seen] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    document: dict[str, Any] | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    expected: list[Expected] = field(default_factory=list)
    question: str | None = None
    recipe: Recipe | None = None
    notes: list[str] = field(default_factory=list)


def inspect(path: str) -> Inspection:
    """Look at a file, a folder, or what a pattern finds, and suggest a document.

    Raises
    ------
    InputError, ServiceError
        There are no files, or they can't be read.
    """
    listing = list_files(path)
    groups = group_files(listing)
    found = Inspection(path, listing.root, len(listing.files), sum(stored.size for stored in listing.files))
    looked_at = sorted(groups, key=lambda group: -group.size)[:MOST_GROUPS]
    if len(groups) > len(looked_at):
        found.notes.append(
            f"{len(groups) - len(looked_at)} smaller files were not looked at: name the ones that matter"
        )
    read = [read_table(group) for group in looked_at]
    found.unreadable = [table for table in read if isinstance(table, Unreadable)]
    tables = _join_tables(listing, [table for table in read if isinstance(table, Table)])
    wide = [table for table in tables if is_wide(table)]
    seen = [_look(table) for table in tables if table not in wide]
    for table in tables:
        found.notes += list(table.notes)
    chosen = _choose_interactions(found, seen)
    _recipes(found, seen, wide, chosen)
    if found.recipe is not None and found.recipe.name == "join":
        chosen, found.question = None, None
    if chosen is None:
        found.tables = _ordered(seen + [Seen(table, Roles(), "wide matrix") for table in wide])
        return found
    sides = _choose_sides(found, chosen, [entry for entry in seen if entry is not chosen])
    found.tables = _ordered(
        [
            replace(entry, kind="interactions") if entry is chosen else sides.get(id(entry), entry)
            for entry in seen
        ]
    )
    described = [
        (entry.table, entry.description)
        for of in ("user", "item")
        for entry in sides.values()
        if entry.description and entry.description.of == of
    ]
    _write_document(found, chosen, suggest(chosen.table, chosen.roles, described))
    return found


def _look(table: Table) -> Seen:
    roles = find_roles(table)
    table, roles = rename_by_role(table, roles)
    return Seen(table, roles)


def _join_tables(listing: Listing, tables: Sequence[Table]) -> list[Table]:
    """Put tables of one folder together whose headers have the same names."""
    alike: dict[tuple[Any, ...], list[Table]] = defaultdict(list)
    for at, table in enumerate(tables):
        folder = posixpath.dirname(listing.relative(table.group.files[0].uri))
        named = table.named_by in ("header", "schema")
        key: Any = tuple(sorted(table.fields)) if named else at
        alike[
            folder, table.format, table.encoding.name, table.dialect and table.dialect.delimiter, key
        ].append(table)
    joined = []
    for same in alike.values():
        group = join_groups(listing, [table.group for table in same]) if len(same) > 1 else same[0].group
        if len(same) == 1 or ("*" not in group.path and group.path == same[0].group.path):
            joined += same
            continue
        joined.append(read_joined(group, same))
    return joined


def read_joined(group: Group, same: Sequence[Table]) -> Table:
    """Sample a joined group again: its rows come from all of its files."""
    table = read_table(group)
    return table if isinstance(table, Table) else same[0]


def _choose_interactions(found: Inspection, seen: Sequence[Seen]) -> Seen | None:
    """Choose the table of interactions; ask if others could be meant as well."""
    candidates = [entry for entry in seen if entry.roles.are_interactions and not _rather_describes(entry)]
    if not candidates:
        return None
    ranked = sorted(candidates, key=lambda entry: (-_interaction_score(entry), -entry.table.group.size))
    best = _interaction_score(ranked[0])
    close = [entry for entry in ranked if best - _interaction_score(entry) < CLOSE]
    close.sort(key=lambda entry: (_is_part(entry.table), -entry.table.group.size))
    chosen = close[0]
    others = [
        entry.table.group.path for entry in close[1:] if not _is_part(entry.table) or _is_part(chosen.table)
    ]
    parts = [entry.table.group.path for entry in close[1:] if entry.table.group.path not in others]
    if parts:
        found.notes.append(f"{_listed(parts)} are taken for parts of {chosen.table.group.path} and left out")
    if others:
        found.question = (
            f"Which files are the interactions to learn from: {chosen.table.group.path}, or {_listed(others)}? "
            f"The document takes {chosen.table.group.path}."
        )
    else:
        found.question = (
            _lost_ids(chosen) or chosen.roles.question or _which_date(chosen) or _rated_in_words(chosen)
        )
    return chosen


def _lost_ids(chosen: Seen) -> str | None:
    """Ask about ids that can't tell users or items apart."""
    for role in ("user", "item"):
        profile = chosen.table.profiles[chosen.roles.choices[role].field]
        example = profile.examples[0] if profile.examples else ""
        cut = sum(count for text, count in profile.top if SCIENTIFIC.fullmatch(text))
        if cut > 0.5 * sum(count for _, count in profile.top):
            return (
                f"{chosen.table.group.path}: are {profile.name} really numbers such as {example}? A spreadsheet has cut "
                "ids to a few digits, so that different ones look alike: export them as texts. The document takes "
                "them as they are."
            )
        if profile.distinct == 1 and chosen.table.rows >= FEWEST_IDS:
            return (
                f"{chosen.table.group.path}: is {profile.name} the {role}? It is {example} in all sampled rows. "
                "The document takes it so."
            )
    return None


def _rated_in_words(chosen: Seen) -> str | None:
    profile = rating_in_words(chosen.table, chosen.roles)
    if profile is None:
        return None
    return (
        f"{chosen.table.group.path}: are {profile.name} ratings? They are texts, such as {profile.examples[0]!r}, which "
        "can't be compared with a threshold: write them as numbers first. The document takes every row for a like."
    )


def _which_date(chosen: Seen) -> str | None:
    name = chosen.roles.name("timestamp")
    time = chosen.table.profiles[name].time if name else None
    if time is None or time.alternative is None:
        return None
    return (
        f"{chosen.table.group.path}: is {name} written as {time.name} or as {time.alternative}? All sampled values "
        f"fit both; the document takes {time.name}."
    )


def _rather_describes(entry: Seen) -> bool:
    """Say whether a table with a user and an item has one row per item (or user), and the other is weak."""
    roles = entry.roles
    for of, other in (("item", "user"), ("user", "item")):
        if roles.score(other) < 0.6 <= roles.score(of):
            profile = entry.table.profiles[roles.choices[of].field]
            if profile.distinct_share > 0.99 and entry.table.rows > 5 and not profile.separator:
                return True
    return False


def _interaction_score(entry: Seen) -> float:
    roles = entry.roles
    score = roles.score("user") + roles.score("item")
    score += 0.4 * ("value" in roles.choices and not roles.counts) + 0.2 * ("timestamp" in roles.choices)
    score += 0.3 * ("event" in roles.choices)
    words = posixpath.basename(entry.table.group.path).lower().replace("-", "_").replace(".", "_").split("_")
    return score + 0.2 * any(word in INTERACTION_FILES for word in words) - 0.3 * _is_part(entry.table)


def _is_part(table: Table) -> bool:
    words = table.group.path.lower().replace("-", ".").replace("_", ".").replace("/", ".").split(".")
    return any(word in PARTS_OF_OTHERS for word in words)


def _recipes(found: Inspection, seen: Sequence[Seen], wide: Sequence[Table], chosen: Seen | None) -> None:
    """Name the recipe for files that no document describes, if they are the ones that matter."""
    size = chosen.table.group.size if chosen else 0
    weak = chosen is None or chosen.roles.score("user") < 0.5
    if weak and (join := find_join([(entry.table, entry.roles) for entry in seen])):
        found.recipe = join
        return
    if wide and max(table.group.size for table in wide) > size:
        table = max(wide, key=lambda entry: entry.group.size)
        found.recipe = Recipe(
            "wide-matrix",
            f"{table.group.path} has a row per user and a column per item ({len(table.fields)} columns)",
        )
    unreadable = [entry for entry in found.unreadable if entry.recipe and entry.group.size > size]
    if unreadable:
        largest = max(unreadable, key=lambda entry: entry.group.size)
        found.recipe = Recipe(str(largest.recipe), largest.sentence)
    nested = [entry for entry in seen if entry.table.nested and "user" in entry.roles.choices]
    if chosen is None and found.recipe is None and nested:
        largest_nested = max(nested, key=lambda entry: entry.table.group.size)
        found.recipe = Recipe(
            "nested-lists",
            f"{largest_nested.table.group.path} has a user per line, and what may be items in lists of objects "
            f"({_listed(largest_nested.table.nested)})",
        )
    single = [entry for entry in seen if entry.table.nested and entry.table.rows == 1 and entry.table.whole]
    if chosen is None and found.recipe is None and single:
        largest_single = max(single, key=lambda entry: entry.table.group.size).table
        found.recipe = Recipe(
            "nested-lists",
            f"{largest_single.group.path} is one object, and its list {_listed(largest_single.nested)} holds what may "
            "be interactions",
        )
    if chosen is None and found.recipe is None:
        found.question = _ask_for_roles(found, seen)


def _ask_for_roles(found: Inspection, seen: Sequence[Seen]) -> str:
    if not seen:
        said = "; ".join(entry.sentence for entry in found.unreadable[:3])
        return f"Where are the interactions? {said or 'No file is a table'}."
    largest = max(seen, key=lambda entry: entry.table.group.size)
    known = [
        f"{choice.field} is the {role}"
        for role, choice in largest.roles.choices.items()
        if role in ("user", "item")
    ]
    lacking = [role for role in ("user", "item") if role not in largest.roles.choices]
    said = f" ({_listed(known)})" if known else ""
    return (
        f"Which field of {largest.table.group.path} is the {' and which the '.join(lacking) or 'user'}{said}? "
        f"Its fields are {', '.join(largest.table.fields[:30])}."
    )


def _choose_sides(found: Inspection, chosen: Seen, others: Sequence[Seen]) -> dict[int, Seen]:
    """Choose the tables that describe users and items, by names and by ids that match the interactions'."""
    sides: dict[int, Seen] = {}
    for of in ("user", "item"):
        ids = _ids(chosen.table.columns[chosen.roles.choices[of].field], chosen, of)
        candidates = []
        for entry in others:
            if id(entry) in sides or (entry.roles.are_interactions and not _rather_describes(entry)):
                continue
            description = describe(entry.table, of)
            if description is None:
                continue
            own = _ids(entry.table.columns[description.id], entry, "")
            matched = len(ids & own) / max(len(ids), 1)
            if entry.table.whole and not matched and min(len(ids), len(own)) >= FEWEST_IDS:
                found.notes.append(
                    f"{entry.table.group.path}: none of its values of {description.id} is among the {of}s of "
                    f"{chosen.table.group.path} ({min(own)} against {min(ids)})"
                )
                continue
            if description.features:
                candidates.append(
                    (description.score + matched, len(description.features), entry, description)
                )
        if candidates:
            *_, entry, description = max(candidates, key=lambda candidate: candidate[:2])
            sides[id(entry)] = replace(entry, kind=f"{of}s", description=description)
    return sides


def _ids(cells: Sequence[Cell], entry: Seen, of: str) -> set[str]:
    separator = None
    if of == "item":
        profile = entry.table.profiles[entry.roles.choices["item"].field]
        separator = profile.separator if profile.mean_words > 1.2 else None
    ids: set[str] = set()
    for cell in cells:
        if isinstance(cell, list):
            ids.update(cell)
        elif cell:
            ids.update(part.strip() for part in (cell.split(separator) if separator else [cell]))
    ids.discard("")
    return ids


def _write_document(found: Inspection, chosen: Seen, suggestion: Suggestion) -> None:
    """Validate the document, and allow for the bad rows that are expected."""
    document = suggestion.document
    dataset = Dataset.from_document(document)
    found.expected = expect_quarantine(chosen.table, dataset)
    share = sum(entry.share for entry in found.expected)
    if share > 0.8 * dataset.quarantine.max_share:
        allowed = min(1.0, math.ceil(120 * share) / 100)
        document["quarantine"] = {"max_share": allowed}
        suggestion.reasons["quarantine"] = (
            f"{share:.1%} of the sampled rows can't be used ({most_common(found.expected)}), more than a run allows "
            "by default"
        )
    found.document, found.reasons = document, suggestion.reasons


def _ordered(seen: Sequence[Seen]) -> list[Seen]:
    order = {"interactions": 0, "users": 1, "items": 2}
    return sorted(seen, key=lambda entry: (order.get(entry.kind, 3), entry.table.group.path))


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:6])
    if len(names) > 6:
        return f"{', '.join(shown)} and {len(names) - 6} more"
    return " and ".join(shown) if len(shown) < 3 else f"{', '.join(shown[:-1])} and {shown[-1]}"
