"""Names of items for people, from a CSV file: the API knows ids only."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fmrec.errors import InputError

FOUND_AT_MOST = 20
FIELD_LIMIT = 1 << 20
"""Characters of the longest field that is read."""


@dataclass(frozen=True)
class Named:
    """An item's name, and what else is to be shown of it."""

    name: str
    details: str = ""


@dataclass(frozen=True)
class ItemNames:
    """Item id → name, searched by parts of names."""

    names: dict[str, Named] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, columns: Sequence[str] = ()) -> ItemNames:
        """Read a file with a header, separated by commas, or by tabs where its name ends in ``.tsv``.

        Parameters
        ----------
        columns
            Fields with the id, the name, and what is shown below the name; by default the first two fields.

        Raises
        ------
        InputError
            The file can't be read, lacks a field, or has a row without an id.
        """
        delimiter = "\t" if path.suffix == ".tsv" else ","
        csv.field_size_limit(FIELD_LIMIT)
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, delimiter=delimiter, strict=True)
                heads = list(reader.fieldnames or ())
                return cls(dict(_named(path, reader, _wanted(path, heads, columns))))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"{path} can't be read as names of items: {error}; expected a CSV file in UTF-8 with a header"
            ) from error

    def of(self, item_ids: Iterable[str]) -> dict[str, Named]:
        """What is known of these items."""
        return {item_id: self.names[item_id] for item_id in item_ids if item_id in self.names}

    def search(self, text: str, most: int = FOUND_AT_MOST) -> list[str]:
        """Ids of items whose names hold every word, those first whose names begin with the text.

        An id that is the text itself comes first of all.
        """
        whole = " ".join(text.casefold().split())
        if not whole:
            return []
        exact: list[str] = []
        first: list[str] = []
        other: list[str] = []
        for item_id, named in self.names.items():
            name = named.name.casefold()
            if item_id == text.strip():
                exact.append(item_id)
            elif name.startswith(whole):
                first.append(item_id)
            elif len(other) < most and all(word in name for word in whole.split()):
                other.append(item_id)
        return [*exact, *first, *other][:most]


def _wanted(path: Path, heads: list[str], columns: Sequence[str]) -> list[str]:
    wanted = list(columns) or heads[:2]
    missing = [name for name in wanted if name not in heads]
    if missing:
        raise InputError(f"{path} has no field {missing[0]!r}: it has {', '.join(heads) or 'none'}")
    if len(wanted) < 2:
        raise InputError(f"names of items need two fields, an id and a name; named are {wanted} of {path}")
    return wanted


def _named(path: Path, reader: csv.DictReader[str], wanted: list[str]) -> Iterable[tuple[str, Named]]:
    identity, name, *others = wanted
    for row in reader:
        item_id = row[identity]
        if not item_id:
            raise InputError(f"{path}, line {reader.line_num}: {identity} is empty, expected an item's id")
        details = " · ".join((row[other] or "").replace("|", ", ") for other in others if row[other])
        yield item_id, Named(row[name] or item_id, details)
