"""Sampled files as tables: their format, and rows of text by field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from fmrec.inspection.delimited import Dialect, Row, detect_dialect, has_header, read_rows
from fmrec.inspection.encodings import CP1252, LATIN1, UTF8, Encoding, decode, detect_encoding
from fmrec.inspection.json_lines import MOST_DOCUMENTS, is_json, read_json
from fmrec.inspection.listing import Group
from fmrec.inspection.parquet import read_parquet
from fmrec.inspection.profiles import NUMBER, Cell, Profile, profile_field
from fmrec.inspection.public_data_sets import known_file
from fmrec.inspection.sampling import Sample, take_sample
from fmrec.storage.object_store import StoredObject

T = TypeVar("T")

FILES_SAMPLED = 8
ROWS_SAMPLED = 100_000
BAD_EXAMPLES = 3
DIALECT_TEXT = 256 << 10
"""Letters that delimiter, quotes and header are judged by."""
HEADER_LINES_SHARE = 0.3
"""Up to this share of the lines may be header lines that carry an id."""


@dataclass(frozen=True)
class Unreadable:
    """Files that no document describes as they are. ``recipe`` names what makes them readable."""

    group: Group
    kind: str
    sentence: str
    recipe: str | None = None


@dataclass(frozen=True)
class BadRows:
    """Rows that can't be taken apart, for one reason."""

    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A group of files, sampled.

    ``columns`` has the sampled cells by field; ``named_by`` says where the fields' names come from:
    ``header``, ``keys``, ``schema``, ``position``, or a public data set's documentation.
    """

    group: Group
    format: str
    encoding: Encoding
    dialect: Dialect | None
    header: bool
    named_by: str
    columns: dict[str, list[Cell]]
    bad: tuple[BadRows, ...] = ()
    whole: bool = False
    """Every row was read."""
    renamed: bool = False
    """The header's names can't be used (empty or twice) and are replaced."""
    headless: bool = False
    """Only the first of the files begins with a header."""
    notes: tuple[str, ...] = ()
    profiles: dict[str, Profile] = field(default_factory=dict)
    estimated_rows: int = 0
    nested: tuple[str, ...] = ()
    """Fields that hold lists of objects."""

    @property
    def rows(self) -> int:
        """Sampled rows that have all fields."""
        return len(next(iter(self.columns.values()), []))

    @property
    def fields(self) -> list[str]:
        return list(self.columns)

    def rename(self, names: dict[str, str]) -> Table:
        """Give fields other names."""
        return replace(
            self,
            columns={names.get(name, name): cells for name, cells in self.columns.items()},
            profiles={
                names.get(name, name): replace(profile, name=names.get(name, name))
                for name, profile in self.profiles.items()
            },
        )


def read_table(group: Group) -> Table | Unreadable:
    """Sample a group's files and find their layout.

    Raises
    ------
    InputError, ServiceError
        A file can't be read.
    """
    samples = [take_sample(stored) for stored in _spread(group.files)]
    for sample in samples:
        if sample.trouble:
            return Unreadable(group, sample.content, sample.trouble)
    if samples[0].content == "parquet":
        table: Table | Unreadable = _parquet_table(group, samples)
    else:
        table = _text_table(group, samples)
    if isinstance(table, Unreadable):
        return table
    return replace(
        table, profiles={name: profile_field(name, cells) for name, cells in table.columns.items()}
    )


def _spread(files: Sequence[StoredObject], most: int = FILES_SAMPLED) -> list[StoredObject]:
    """Choose files at equal distances, the first and the last among them."""
    if len(files) <= most:
        return list(files)
    step = (len(files) - 1) / (most - 1)
    return [files[round(at * step)] for at in range(most)]


def _parquet_table(group: Group, samples: Sequence[Sample]) -> Table:
    columns: dict[str, list[Cell]] = {}
    rows, total, whole = 0, 0, len(samples) == len(group.files)
    for sample in samples:
        found, count, all_read = read_parquet(sample.uri)
        length = len(next(iter(found.values()), []))
        for name in [*columns, *(name for name in found if name not in columns)]:
            columns.setdefault(name, [None] * rows).extend(found.get(name, [None] * length))
        rows, total, whole = rows + length, total + count, whole and all_read
    return Table(
        group, "parquet", Encoding(UTF8, "Parquet says so"), None, False, "schema", columns, (), whole,
        estimated_rows=round(total * len(group.files) / len(samples)),
    )  # fmt: skip


def _text_table(group: Group, samples: Sequence[Sample]) -> Table | Unreadable:
    encoding = _encoding(samples)
    heads = [_whole_lines(sample, encoding.name) for sample in samples]
    if not heads[0].strip():
        return Unreadable(group, "empty", f"{group.path} holds only blank lines")
    if is_json(heads[0]):
        return _json_table(group, samples, encoding)
    if found := _header_lines(heads[0]):
        return Unreadable(
            group,
            "header lines",
            f"{group.path} has lines such as {found!r} that carry an id for the lines below them: "
            "no document describes that",
            "header-lines",
        )
    dialect = detect_dialect(
        heads[0][:DIALECT_TEXT].rsplit("\n", 1)[0] if len(heads[0]) > DIALECT_TEXT else heads[0]
    )
    if dialect is None and _rows_of_items(heads[0]):
        return Unreadable(
            group,
            "rows of items",
            f"{group.path} seems to have a user's id and then all items of that user in each line: no document "
            "describes that",
            "rows-of-items",
        )
    if dialect is None:
        return Unreadable(
            group,
            "no table",
            f"{group.path} is no table: no delimiter gives its lines the same number of fields",
        )
    return _delimited_table(group, samples, encoding, dialect, heads)


def _encoding(samples: Sequence[Sample]) -> Encoding:
    """Judge all samples; one file that isn't UTF-8 decides for all."""
    found = [detect_encoding([sample.head, *sample.pieces], sample.whole) for sample in samples]
    order = {CP1252: 2, LATIN1: 1}
    return max(found, key=lambda encoding: order.get(encoding.name, 0)) if found[0].name == UTF8 else found[0]


def _whole_lines(sample: Sample, encoding: str) -> str:
    text = decode(sample.head, encoding)
    return text if sample.whole else text[: text.rfind("\n") + 1] or text


def _piece_lines(sample: Sample, encoding: str) -> list[str]:
    """Return the whole lines of each further piece of a file."""
    texts = []
    for piece in sample.pieces:
        text = decode(piece, encoding, sample.head)
        last = piece is sample.pieces[-1]
        texts.append(text[text.find("\n") + 1 : None if last else text.rfind("\n") + 1])
    return texts


def _header_lines(text: str) -> str | None:
    """Find lines such as ``123:`` above lines of fields."""
    lines = [line.strip() for line in text[:DIALECT_TEXT].splitlines() if line.strip()]
    alone = [line for line in lines if re.fullmatch(r"[^,;\t|:]{1,40}:", line)]
    if not alone or lines[0] != alone[0] or len(alone) > HEADER_LINES_SHARE * len(lines) + 1:
        return None
    others = [line for line in lines if line not in set(alone)]
    return lines[0] if others and detect_dialect("\n".join(others)) else None


def _rows_of_items(text: str) -> bool:
    """Say whether each line is an id of its own and then any number of ids, as many libraries have them."""
    lines = [line.split() for line in text[:DIALECT_TEXT].split("\n")[:2000] if line.strip()]
    plain = all(cell.isalnum() and any(map(str.isdigit, cell)) for line in lines for cell in line)
    users, longest = {line[0] for line in lines}, max(map(len, lines), default=0)
    return plain and longest > 2 and len(lines) == len(users) > 2


def _json_table(group: Group, samples: Sequence[Sample], encoding: Encoding) -> Table | Unreadable:
    share = ROWS_SAMPLED // len(samples)
    lines: list[str] = []
    for sample in samples:
        texts = [_whole_lines(sample, encoding.name), *_piece_lines(sample, encoding.name)]
        found = [line for text in texts for line in _limited(text.split("\n"), share // len(texts))]
        lines += found
    rows = read_json(lines)
    if rows.structure in ("array", "spread"):
        # Pieces begin within objects.
        starts = [_whole_lines(sample, encoding.name).split("\n") for sample in samples]
        rows = read_json([line for start in starts for line in start])
    if not rows.rows:
        return Unreadable(
            group, "no table", f"{group.path} begins like JSON, but its lines are no JSON objects"
        )
    notes = [f"{group.path} {STRUCTURES[rows.structure]}"] if rows.structure in STRUCTURES else []
    if rows.several:
        notes.append(f"{rows.several} of {rows.rows} sampled lines hold more than one object")
    size = sum(len(line) + 1 for line in lines)
    whole = all(sample.whole for sample in samples) and len(samples) == len(group.files)
    whole &= rows.structure == "lines" or rows.rows < MOST_DOCUMENTS
    bad = (BadRows("not a JSON object", len(rows.bad), tuple(rows.bad[:BAD_EXAMPLES])),) if rows.bad else ()
    return Table(
        group, "jsonl", encoding, None, False, "keys", rows.columns, bad, whole and len(lines) < ROWS_SAMPLED,
        notes=tuple(notes), nested=tuple(sorted(rows.nested_lists)), estimated_rows=rows.rows if whole else round(group.size / max(size, 1) * len(lines)),
    )  # fmt: skip


STRUCTURES = {
    "python": "has Python dicts instead of JSON objects: they are read as they are",
    "array": "is one JSON array: one task reads it from its beginning",
    "spread": "spreads objects over several lines: one task reads it from its beginning",
}
"""What is said of JSON that is not an object per line."""


def _delimited_table(
    group: Group, samples: Sequence[Sample], encoding: Encoding, dialect: Dialect, heads: Sequence[str]
) -> Table:
    share = ROWS_SAMPLED // len(samples)
    first = read_rows(heads[0][:DIALECT_TEXT], dialect)
    header = has_header([row.cells for row in first[:500]])
    names, named_by, renamed = _names(group, first, header, dialect)
    notes: list[str] = []
    columns: dict[str, list[Cell]] = {name: [] for name in names}
    bad: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    taken = 0
    headless: list[str] = []
    for sample, head in zip(samples, heads, strict=True):
        rows = read_rows(head, dialect)
        order = list(range(len(names)))
        if header and rows and _is_row(rows[0].cells, first[0].cells):
            headless.append(sample.uri)
        elif header and rows:
            order, note = _order(rows[0].cells, first[0].cells, sample.uri, group)
            notes += [note] if note else []
            rows = rows[1:]
        for text in [] if dialect.multiline else _piece_lines(sample, encoding.name):
            rows += read_rows(text, dialect)
        taken += sum(len(row.raw) + 1 for row in rows)
        for row in _limited(rows, share):
            reason = row.problem or ("wrong number of fields" if len(row.cells) != len(names) else None)
            if reason is None and "\ufffd" in row.raw and encoding.name == UTF8:
                reason = "invalid UTF-8"
            if reason:
                bad[reason] += 1
                examples.setdefault(reason, []).append(row.raw[:200])
                continue
            for name, at in zip(names, order, strict=True):
                columns[name].append(row.cells[at])
    if headless:
        notes.append(
            f"{headless[0]} has no header, unlike {group.name}: the document names the fields, and the header's line is "
            "no row"
        )
    whole = all(sample.whole for sample in samples) and len(samples) == len(group.files)
    count = sum(bad.values()) + len(columns[names[0]])
    return Table(
        group,
        "tsv" if dialect.delimiter == "\t" else "csv",
        encoding,
        dialect,
        header and not headless,
        named_by,
        columns,
        tuple(
            BadRows(reason, number, tuple(examples[reason][:BAD_EXAMPLES]))
            for reason, number in bad.most_common()
        ),
        whole and count < share,
        renamed,
        bool(headless),
        tuple(notes),
        estimated_rows=count if whole else round(group.size / max(taken, 1) * count),
    )


def _names(group: Group, rows: Sequence[Row], header: bool, dialect: Dialect) -> tuple[list[str], str, bool]:
    """Return the fields' names, where they come from, and whether they replace the header's."""
    if header:
        given = [cell.strip() for cell in rows[0].cells]
        names: list[str] = []
        for at, name in enumerate(given):
            unique = name or f"field_{at + 1}"
            names.append(unique if unique not in names else f"{unique}_{at + 1}")
        return names, "header", names != given
    if known := known_file(group.name, dialect.fields, [row.raw for row in rows[:20]]):
        return list(known.fields), f"the documentation of {known.dataset}", False
    stem = re.sub(r"\.\w+$", "", group.name)
    for separator in ("-", "_", ","):
        parts = [part for part in stem.split(separator) if part]
        if len(parts) == dialect.fields > 2 and len(set(parts)) == len(parts):
            return parts, "the file's name", False
    return [f"field_{at + 1}" for at in range(dialect.fields)], "position", False


def _is_row(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Say whether a file begins with a row instead of a header: as many fields, no name, and a number."""
    names = {cell.strip() for cell in header}
    own = [cell.strip() for cell in cells]
    return len(own) == len(header) and not names & set(own) and any(NUMBER.match(cell) for cell in own)


def _order(
    cells: Sequence[str], expected: Sequence[str], uri: str, group: Group
) -> tuple[list[int], str | None]:
    """Return where a file's own header has the fields, and a note if it has others."""
    own, names = [cell.strip() for cell in cells], [cell.strip() for cell in expected]
    if own == names:
        return list(range(len(names))), None
    if sorted(own) == sorted(names):
        return [own.index(name) for name in names], f"{uri} has the columns of {group.name} in another order"
    return list(
        range(len(names))
    ), f"{uri} begins with other columns ({', '.join(own[:8])}) than {group.name}"


def _limited(rows: Sequence[T], most: int) -> Sequence[T]:
    """Return all rows, or as many from the beginning as from the end."""
    if len(rows) <= most:
        return rows
    return [*rows[: most // 2], *rows[len(rows) - most // 2 :]]
