"""Files that describe users or items: their id, and which of their fields make features, and why
not others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fmrec.dataset import column_names as names
from fmrec.inspection.profiles import Cell, Profile
from fmrec.inspection.tables import Table

UNIQUE = 0.99
"""The share of different ids among the rows of a file that describes users or items."""
MOST_TEXTS = 1000
"""Different texts of a categorical feature."""
FEW_NUMBERS = 10
"""Up to so many different integers are codes, more are quantities."""
BUCKETS = 10
LONG_TEXT = 64
_AMOUNT = re.compile(r"^[^\w\s]\s?\d[\d.,]*$|^\d[\d.,]*\s?[^\w\s.,]$")
"""Numbers with a sign of a currency or of percents."""


@dataclass(frozen=True)
class Description:
    """A table that describes users or items (``of``) by one row per id."""

    of: str
    id: str
    score: float
    reason: str
    features: tuple[dict[str, Any], ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each field is a feature, or isn't."""

    @property
    def fields(self) -> set[str]:
        """The fields that the features are made of."""
        return {feature.get("column", feature["name"]) for feature in self.features}


def describe(table: Table, of: str) -> Description | None:
    """Say how a table describes users or items, or None if no field can be their id."""
    found = _id_field(table, of)
    if found is None:
        return None
    profile, score, reason = found
    features, reasons = _features(table, of, profile.name)
    return Description(of, profile.name, score, reason, tuple(features), reasons)


def _id_field(table: Table, of: str) -> tuple[Profile, float, str] | None:
    """Find the field of ids: one row per id, and a name, the file's or the field's, that says of what."""
    file_score = _file_score(table, of)
    best: tuple[Profile, float, str] | None = None
    for place, profile in enumerate(table.profiles.values()):
        if profile.kind in ("list", "empty", "time", "number") or profile.missing_share > 0.05:
            continue
        if profile.distinct < UNIQUE * table.rows:
            continue
        named = names.user_score(profile.name) if of == "user" else names.item_score(profile.name)
        if not named and place == 0 and file_score and set(names.words(profile.name)) <= {"id", "field"}:
            named = 0.5 * file_score
        if not named and place == 0 and file_score and table.named_by == "position":
            named = 0.4 * file_score
        score = named * (1 if profile.mean_length <= 64 else 0.5) * (1.1 if file_score else 1)
        if score >= 0.3 and (best is None or score > best[1]):
            best = (profile, score, f"one row per value, and its name says {of}")
    return best


def _file_score(table: Table, of: str) -> float:
    stem = table.group.name.rsplit(".", 1)
    parts = names.words(" ".join(stem))
    words = names.USERS if of == "user" else names.ITEMS
    extra = {"user": {"users", "customers", "profile", "profiles", "members"}, "item": {"items", "movies", "products", "meta", "catalogue", "catalog", "articles", "books", "tracks", "artists", "games"}}  # fmt: skip
    return max((1.0 if part in extra[of] else words.get(part, 0.0) for part in parts), default=0.0)


def _features(table: Table, of: str, id_field: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    features: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    for name, profile in table.profiles.items():
        if name == id_field:
            continue
        feature, reason = _feature(profile, of, table.rows, table.dialect is None and "." in name)
        twin = (
            _twin(table, name, [taken.get("column", taken["name"]) for taken in features])
            if feature
            else None
        )
        if twin:
            feature, reason = None, f"says the same as {twin}"
        reasons[name] = reason
        if feature:
            features.append(feature)
    return features, reasons


def _feature(profile: Profile, of: str, rows: int, nested: bool) -> tuple[dict[str, Any] | None, str]:
    """Return the feature that a field makes and why, or None and why not."""
    feature: dict[str, Any] = {"name": _feature_name(profile.name), "of": of}
    if feature["name"] != profile.name:
        feature["column"] = profile.name
    refused = _says_nothing(profile) or ("nested: add it if you want it" if nested else None)
    if refused:
        return None, refused
    if profile.kind == "list" or profile.separator in ("|", ";", ","):
        return _multi_valued(profile, feature, rows)
    if profile.time is not None and (not profile.is_numeric or names.time_score(profile.name)):
        feature |= {"kind": "date-part", "part": "year", "timestamp_format": profile.time.name}
        return feature, f"{profile.time.reason}: its year"
    if profile.is_numeric and not profile.leading_zeros and not _is_code(profile):
        return _numeric(profile, feature)
    return _texts(profile, feature, rows)


def _texts(profile: Profile, feature: dict[str, Any], rows: int) -> tuple[dict[str, Any] | None, str]:
    amounts = sum(_AMOUNT.match(text) is not None for text, _ in profile.top)
    if amounts > 0.9 * len(profile.top):
        return None, f"values such as {profile.examples[0]!r} are no numbers as they are written"
    many = profile.distinct > MOST_TEXTS or (profile.distinct > 0.5 * profile.filled and rows > 10)
    if many or profile.mean_length > LONG_TEXT:
        return None, f"{profile.distinct} different texts in {profile.filled} rows: too many to learn from"
    return feature, f"{profile.distinct} different texts"


def _says_nothing(profile: Profile) -> str | None:
    if profile.kind == "empty":
        return "no sampled row has a value"
    if profile.distinct == 1 and not profile.missing_share:
        return f"every sampled row has the same value, {profile.examples[0]}"
    return None


def _feature_name(name: str) -> str:
    return {"user": "user_", "item": "item_"}.get(name, name)


def _multi_valued(profile: Profile, feature: dict[str, Any], rows: int) -> tuple[dict[str, Any] | None, str]:
    if profile.words > 5 * MOST_TEXTS or (profile.mean_words <= 1 and profile.distinct > 0.5 * rows > 5):
        return None, f"lists of {profile.words} different texts: too many to learn from"
    feature |= {"kind": "multi-valued"}
    if profile.separator not in (None, "|"):
        feature["separator"] = profile.separator
    between = "lists" if profile.kind == "list" else f"separated by {profile.separator!r}"
    return feature, f"{between}, {profile.mean_words:.1f} texts on average, {profile.words} different ones"


def _numeric(profile: Profile, feature: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    shown = f"numbers from {profile.minimum:g} to {profile.maximum:g}"
    if profile.distinct <= FEW_NUMBERS and all(number % 1 == 0 for number in profile.numbers):
        return feature, f"{profile.distinct} different codes"
    if names.time_score(profile.name) or "year" in names.words(profile.name):
        return feature | {"kind": "numeric"}, shown
    return feature | {"kind": "bucket", "buckets": BUCKETS}, f"{shown}: {BUCKETS} buckets of equal count"


def _is_code(profile: Profile) -> bool:
    """Say whether numbers are names: postal codes, and ids of other tables."""
    parts = names.words(profile.name)
    return bool(set(parts) & (names.ID_WORDS | {"zip", "postal", "postcode", "phone"}))


def _twin(table: Table, name: str, taken: list[str]) -> str | None:
    """Return a field already taken whose values go one to one with this one's: a code and its name."""
    for other in taken:
        pairs = {
            (_key(one), _key(two)) for one, two in zip(table.columns[name], table.columns[other], strict=True)
        }
        here, there = {one for one, _ in pairs}, {two for _, two in pairs}
        if 2 < len(here) <= 0.5 * table.rows and len(pairs) == len(here) == len(there):
            return other
    return None


def _key(cell: Cell) -> str:
    return "|".join(cell) if isinstance(cell, list) else cell or ""
