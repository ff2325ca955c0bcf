"""Names of items for people, from a CSV file: models know ids only."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fmrec.errors import InputError, ServiceError
from fmrec.storage import object_store

FOUND_AT_MOST = 20
FIELD_LIMIT = 1 << 20
"""Characters of the longest field that is read."""
LARGEST_FILE = 16 << 20
"""Bytes of a file that the API reads: names of some 300,000 items, which take ten times that in memory."""


@dataclass(frozen=True, slots=True)
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
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                return cls._of_lines(str(path), file, columns)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise _unreadable(str(path), error) from error

    @classmethod
    def read_object(cls, uri: str, columns: Sequence[str] = ()) -> ItemNames:
        """Read an object of at most `LARGEST_FILE` bytes; else as `read`."""
        with object_store.open_input(uri) as stream:
            content = stream.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise InputError(
                f"{uri} has more than {LARGEST_FILE >> 20} MiB: expected names of items in a smaller file, such as "
                "with the fields that are shown alone"
            )
        try:
            return cls._of_lines(uri, io.StringIO(content.decode("utf-8-sig"), newline=""), columns)
        except (UnicodeDecodeError, csv.Error) as error:
            raise _unreadable(uri, error) from error

    @classmethod
    def _of_lines(cls, place: str, lines: Iterable[str], columns: Sequence[str]) -> ItemNames:
        csv.field_size_limit(FIELD_LIMIT)
        delimiter = "\t" if place.endswith(".tsv") else ","
        reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
        heads = list(reader.fieldnames or ())
        return cls(dict(_named(place, reader, _wanted(place, heads, columns))))

    def only(self, item_ids: Iterable[str]) -> ItemNames:
        """These items' names alone."""
        return ItemNames(self.of(item_ids))

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
        ids, folded = self._folded
        # Each word once, and only where all words before it are: a request of many words costs little more.
        holds = np.arange(len(ids))
        for word in sorted(set(whole.split()), key=len, reverse=True):
            if not len(holds):
                break
            held = folded if len(holds) == len(ids) else folded.take(pa.array(holds))
            holds = holds[_marked(pc.match_substring(held, word))]
        begins = _marked(pc.starts_with(folded.take(pa.array(holds)), whole))
        found = [*holds[begins][: most + 1], *holds[~begins][: most + 1]]
        given = text.strip()
        exact = [given] if given in self.names else []
        return [*exact, *(ids[at] for at in found if ids[at] != given)][:most]

    @cached_property
    def _folded(self) -> tuple[list[str], pa.Array]:
        """Ids, and their names as they are searched."""
        return list(self.names), pa.array(
            [named.name.casefold() for named in self.names.values()], pa.string()
        )


class StoredNames:
    """Names of the items of a model from a file of the data bucket, read again with each model.

    Safe to use from several threads.

    Parameters
    ----------
    uri
        The file; None where there is none, and no item has a name.
    """

    def __init__(self, uri: str | None = None, columns: Sequence[str] = ()) -> None:
        self.uri, self._columns = uri, columns
        self._lock = threading.Lock()
        self._run: str | None = None
        self._names = ItemNames()

    def of_run(self, run: str, item_ids: Iterable[str]) -> ItemNames:
        """Names of the items that a run's model knows.

        Raises
        ------
        ServiceError
            The file is missing, too large, or no file of names.
        """
        if self.uri is None:
            return self._names
        with self._lock:
            if self._run != run:
                try:
                    self._names = ItemNames.read_object(self.uri, self._columns).only(item_ids)
                except (InputError, ServiceError) as error:
                    raise ServiceError(
                        f"names of items can't be read: {error} (setting api.item_names)"
                    ) from error
                self._run = run
            return self._names


def _marked(found: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return found.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _unreadable(place: str, error: Exception) -> InputError:
    return InputError(
        f"{place} can't be read as names of items: {error}; expected a CSV file in UTF-8 with a header"
    )


def _wanted(path: str, heads: list[str], columns: Sequence[str]) -> list[str]:
    wanted = list(columns) or heads[:2]
    missing = [name for name in wanted if name not in heads]
    if missing:
        raise InputError(f"{path} has no field {missing[0]!r}: it has {', '.join(heads) or 'none'}")
    if len(wanted) < 2:
        raise InputError(f"names of items need two fields, an id and a name; named are {wanted} of {path}")
    return wanted


def _named(path: str, reader: csv.DictReader[str], wanted: list[str]) -> Iterable[tuple[str, Named]]:
    identity, name, *others = wanted
    for row in reader:
        item_id = row[identity]
        if not item_id:
            raise InputError(f"{path}, line {reader.line_num}: {identity} is empty, expected an item's id")
        details = " · ".join((row[other] or "").replace("|", ", ") for other in others if row[other])
        yield item_id, Named(row[name] or item_id, details)
