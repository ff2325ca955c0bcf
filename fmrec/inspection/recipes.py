"""What to do with files that no data set document describes as they are: recipes of docs/recipes.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fmrec.inspection.roles import Roles
from fmrec.inspection.tables import Table

PAGE = "docs/recipes.md"
TITLES = {
    "header-lines": "Header lines that carry an id",
    "wide-matrix": "A wide matrix",
    "join": "Two files to join",
    "nested-lists": "Lists of objects in an object",
    "rows-of-items": "A row of items per user",
}
FEWEST_WIDE = 12


@dataclass(frozen=True)
class Recipe:
    """A section of the page of recipes, and why it is needed here."""

    name: str
    reason: str

    @property
    def anchor(self) -> str:
        """Where the recipe stands, as a link of the documentation."""
        return f"{PAGE}#{TITLES[self.name].lower().replace(' ', '-')}"

    @property
    def sentence(self) -> str:
        return f"{self.reason}. Apply {TITLES[self.name]!r} ({self.anchor}), then inspect what it writes."


def is_wide(table: Table) -> bool:
    """Say whether a table is a matrix with a row per user and a column per item.

    Nearly all its columns are numbers of one scale, and their largest value is mostly the same one.
    """
    profiles = list(table.profiles.values())
    if len(profiles) < FEWEST_WIDE or table.format == "jsonl":
        return False
    numeric = [profile for profile in profiles if profile.is_numeric or profile.kind == "empty"]
    if len(numeric) < 0.9 * len(profiles):
        return False
    tops = Counter(profile.maximum for profile in numeric if profile.maximum is not None)
    if not tops or max(tops.values()) < 0.6 * len(numeric):
        return False
    return any(len(profile.numbers) > 2 for profile in numeric[1:])


def find_join(tables: Sequence[tuple[Table, Roles]]) -> Recipe | None:
    """Find a field that leads from a table with users to one with items."""
    with_user = [(table, roles) for table, roles in tables if roles.score("user") > 0.5]
    with_item = [(table, roles) for table, roles in tables if roles.score("item") > 0.5]
    ranked = sorted(with_item, key=lambda entry: -entry[0].group.size)
    for items, item_roles in ranked:
        for users, user_roles in with_user:
            if users is items:
                continue
            shared = [
                name
                for name in users.fields
                if name in items.fields and name not in (user_roles.name("user"), item_roles.name("item"))
            ]
            key = next((name for name in shared if users.profiles[name].distinct_share > 0.9), None)
            if key is not None:
                return Recipe(
                    "join",
                    f"users stand in {users.group.path} ({user_roles.name('user')}), items in {items.group.path} "
                    f"({item_roles.name('item')}), and {key} joins them",
                )
    return None
