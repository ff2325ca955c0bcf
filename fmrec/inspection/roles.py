"""Which field is the user, the item, the value, the time and the event of an interaction, and why.

A name counts most, what the values look like decides what a name leaves open. Files without names are
judged by their values, and by what nearly all such files do: the user comes before the item.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from fmrec.dataset import column_names as names
from fmrec.inspection.profiles import TOP, Profile
from fmrec.inspection.tables import Table

FEW_EVENTS = 30
LONGEST_ID = 100
CLOSE = 0.16
"""Two fields whose scores differ by less are both possible: one question."""
POSITION_NAMES = {
    "user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp", "event": "event",
}  # fmt: skip


@dataclass(frozen=True)
class RoleChoice:
    """``field`` has a role, because of ``reason``; ``score`` is from 0 to 1."""

    field: str
    score: float
    reason: str


@dataclass(frozen=True)
class Roles:
    """What a table's fields are to interactions. ``question`` asks what can't be decided from the files."""

    choices: dict[str, RoleChoice] = field(default_factory=dict)
    question: str | None = None
    counts: bool = False
    """The value counts something (plays, pieces) instead of rating it."""

    def name(self, role: str) -> str | None:
        return self.choices[role].field if role in self.choices else None

    def score(self, role: str) -> float:
        return self.choices[role].score if role in self.choices else 0.0

    @property
    def are_interactions(self) -> bool:
        return "user" in self.choices and "item" in self.choices


def find_roles(table: Table) -> Roles:
    """Find the roles that fields of a table have; fields without a part in interactions get none."""
    if table.named_by == "position":
        return _by_position(table)
    profiles = list(table.profiles.values())
    time = _best(profiles, _time_choice)
    rest = [profile for profile in profiles if time is None or profile.name != time.field]
    event = _best(rest, _event_choice)
    ids = [profile for profile in rest if event is None or profile.name != event.field]
    users = _ranked(ids, lambda profile: _id_choice(profile, "user"))
    items = _ranked(ids, lambda profile: _id_choice(profile, "item"))
    choices: dict[str, RoleChoice] = {}
    question = None
    if users:
        choices["user"] = users[0]
        items = [choice for choice in items if choice.field != users[0].field]
    if items:
        choices["item"] = items[0]
        question = _which_item(table, items) if users else None
    used = {choice.field for choice in choices.values()}
    value, counts = _value(table, [profile for profile in rest if profile.name not in used])
    for role, choice in (("value", value), ("timestamp", time), ("event", event)):
        if choice is not None:
            choices[role] = choice
    return Roles(choices, question, counts)


def rename_by_role(table: Table, roles: Roles) -> tuple[Table, Roles]:
    """Name the fields of a file without names by their roles."""
    if table.named_by != "position":
        return table, roles
    new = {choice.field: POSITION_NAMES[role] for role, choice in roles.choices.items()}
    if roles.counts and "value" in roles.choices:
        new[roles.choices["value"].field] = "count"
    choices = {role: replace(choice, field=new[choice.field]) for role, choice in roles.choices.items()}
    return table.rename(new), replace(roles, choices=choices)


def _ranked(profiles: list[Profile], judge) -> list[RoleChoice]:  # type: ignore[no-untyped-def]
    found = [choice for profile in profiles if (choice := judge(profile)) is not None]
    return sorted(found, key=lambda choice: -choice.score)


def _best(profiles: list[Profile], judge) -> RoleChoice | None:  # type: ignore[no-untyped-def]
    return next(iter(_ranked(profiles, judge)), None)


def _id_choice(profile: Profile, role: str) -> RoleChoice | None:
    score = names.user_score(profile.name) if role == "user" else names.item_score(profile.name)
    if score < 0.25 or not profile.filled or not _can_be_id(profile, role):
        return None
    reason = f"its name says {role}"
    if profile.missing_share > 0.05:
        score *= max(0.0, 1 - 2 * profile.missing_share)
        reason += f", though {profile.missing_share:.0%} of its values are missing"
    if score < 0.2:
        return None
    if profile.separator and role == "item" and profile.mean_words > 1.2:
        reason += f"; a field holds {profile.mean_words:.1f} of them on average"
    elif profile.distinct:
        reason += f"; {profile.distinct} different values in {profile.filled} sampled rows"
    return RoleChoice(profile.name, score, reason)


def _can_be_id(profile: Profile, role: str) -> bool:
    if profile.kind == "list":
        return role == "item"
    if profile.kind in ("time", "empty"):
        return False
    if profile.separator == " " and profile.mean_words > 1.2:
        return role == "item"
    return profile.mean_length <= LONGEST_ID


def _nouns(name: str) -> set[str]:
    return {word.removesuffix("s") for word in names.words(name)} - names.ID_WORDS - {"name"}


def _which_item(table: Table, items: list[RoleChoice]) -> str | None:
    """Ask if two fields of one quality name different kinds of items."""
    first = items[0]
    nouns = _nouns(first.field)
    for other in items[1:]:
        others = _nouns(other.field)
        if first.score - other.score < CLOSE + 0.1 and (nouns != others or not nouns):
            return (
                f"{table.group.path}: is the item {first.field} or {other.field}? "
                f"The document takes {first.field}."
            )
    return None


def _time_choice(profile: Profile) -> RoleChoice | None:
    if profile.time is None:
        return None
    named = names.time_score(profile.name)
    if not named and (profile.is_numeric or profile.missing_share > 0.5):
        return None
    score = 0.5 * named + 0.2 * profile.time.clock + 0.3 * (1 - profile.missing_share)
    if profile.missing_share > 0.5 or (named and named < 0.5 and profile.missing_share > 0.05):
        return None
    return RoleChoice(profile.name, score, profile.time.reason)


def _event_choice(profile: Profile) -> RoleChoice | None:
    shown = ", ".join(text for text, _ in profile.top[:6])
    if _is_verdict(profile):
        return RoleChoice(profile.name, 0.5, f"its values say whether the user liked the item: {shown}")
    named = names.event_score(profile.name)
    if not named or profile.kind != "text" or not 0 < profile.distinct <= FEW_EVENTS:
        return None
    known = [text for text, _ in profile.top if names.event_weight(text) is not None]
    if not known and named < 1:
        return None
    return RoleChoice(profile.name, 0.6 * named + 0.4 * bool(known), f"its values are events: {shown}")


def _is_verdict(profile: Profile) -> bool:
    """Say whether a field's texts are a user's yes or no to an item."""
    named = names.value_score(profile.name)[0] or names.VERDICT_NAMES & set(names.words(profile.name))
    texts = [text for text, _ in profile.top]
    return bool(named) and profile.kind == "text" and len(texts) < TOP and names.verdict(texts) is not None


def rating_in_words(table: Table, roles: Roles) -> Profile | None:
    """Return a field whose name says ratings while its values are no numbers, where no other field rates."""
    if "value" in roles.choices or "event" in roles.choices:
        return None
    used = {choice.field for choice in roles.choices.values()}
    for profile in table.profiles.values():
        score, sort = names.value_score(profile.name)
        if profile.name not in used and sort == "rating" and score >= 0.8 and profile.kind == "text":
            return profile
    return None


def _value(table: Table, profiles: list[Profile]) -> tuple[RoleChoice | None, bool]:
    found = []
    for profile in profiles:
        score, sort = names.value_score(profile.name)
        if score and profile.is_numeric and profile.filled:
            score *= 1 - profile.missing_share
            shown = f"numbers from {profile.minimum:g} to {profile.maximum:g}"
            said = "ratings" if sort == "rating" else "counts"
            found.append((RoleChoice(profile.name, score, f"its name says {said}; {shown}"), sort == "count"))
    return max(found, key=lambda entry: entry[0].score, default=(None, False))


def _by_position(table: Table) -> Roles:
    """Judge fields without names by their values."""
    profiles = [profile for profile in table.profiles.values() if profile.filled]
    choices: dict[str, RoleChoice] = {}
    times = [profile for profile in profiles if profile.time is not None and not profile.leading_zeros]
    # Numbers that could be times are ids in the first field, and times behind it.
    times = [profile for profile in times if not profile.is_numeric or profile is not profiles[0]]
    if times:
        time = next((profile for profile in times if not profile.is_numeric), times[-1])
        choices["timestamp"] = RoleChoice(time.name, 0.8, time.time.reason if time.time else "")
    rest = [profile for profile in profiles if profile.name not in {c.field for c in choices.values()}]
    for profile in rest:
        known = [text for text, _ in profile.top if names.event_weight(text) is not None]
        if profile.kind == "text" and profile.distinct <= FEW_EVENTS and len(known) > 0.5 * profile.distinct:
            shown = ", ".join(text for text, _ in profile.top[:6])
            choices["event"] = RoleChoice(profile.name, 0.8, f"its values are events: {shown}")
            rest = [other for other in rest if other is not profile]
            break
    ids = [profile for profile in rest if _can_be_id(profile, "item") and not _numbers_rows(profile, table)]
    ids = [profile for profile in ids if profile.kind != "number" and profile.distinct > 1]
    if len(ids) < 2:
        return Roles(choices)
    user, item = ids[0], ids[1]
    said = "the file has no header; the user comes before the item"
    choices["user"] = RoleChoice(user.name, 0.5, f"{said}, and this is the first field of ids")
    choices["item"] = RoleChoice(item.name, 0.5, f"{said}, and this is the second field of ids")
    others = [profile for profile in rest if profile.is_numeric and profile not in (user, item)]
    others = [profile for profile in others if not _numbers_rows(profile, table)]
    scaled = sorted(
        (profile for profile in others if _is_scale(profile)), key=lambda found: not _is_rating_scale(found)
    )
    counts = False
    if scaled:
        value = scaled[0]
        counts = not _is_rating_scale(value)
        shown = f"numbers from {value.minimum:g} to {value.maximum:g}"
        choices["value"] = RoleChoice(value.name, 0.5, f"{shown}, like {'counts' if counts else 'ratings'}")
    question = (
        f"{table.group.path} has no header: is field {_place(table, user)} (such as {user.examples[0]}) the user and "
        f"field {_place(table, item)} (such as {item.examples[0]}) the item? The document takes them so."
    )
    return Roles(choices, question, counts)


def _place(table: Table, profile: Profile) -> int:
    return table.fields.index(profile.name) + 1


def _numbers_rows(profile: Profile, table: Table) -> bool:
    """Say whether a field only numbers the rows: integers that grow with every row."""
    if profile.kind != "integer" or profile.distinct < max(5, profile.filled):
        return False
    values = [
        int(cell)
        for cell in table.columns[profile.name]
        if isinstance(cell, str) and cell.strip().isdecimal()
    ]
    return all(after > before for before, after in itertools.pairwise(values)) and table.rows > 5


def _is_scale(profile: Profile) -> bool:
    return profile.distinct > 1 and not profile.leading_zeros and profile.maximum is not None


def _is_rating_scale(profile: Profile) -> bool:
    low, high = profile.minimum or 0.0, profile.maximum or 0.0
    return bool(profile.numbers) and len(profile.numbers) <= 21 and low >= -10 and high <= 10
