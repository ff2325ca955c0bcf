"""Whether a data set document agrees with the files that it describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from fmrec.dataset import Attributes, Dataset, ImplicitLabel
from fmrec.dataset.sources import Interactions, Source
from fmrec.inspection.delimited import Dialect
from fmrec.inspection.encodings import CP1252, LATIN1, UTF8, UTF16, UTF16BE, UTF16LE
from fmrec.inspection.expected_quarantine import expect_quarantine, most_common
from fmrec.inspection.listing import Group, Listing
from fmrec.inspection.tables import Table, Unreadable, read_table
from fmrec.inspection.times import seconds_reader

FITS = 0.9
"""The share of a field's values that a setting has to read."""
FEWEST_MATCHED = 0.05
"""The share of the interactions' ids that have to be described."""
SAME_ENCODINGS = ({LATIN1, CP1252}, {UTF16, UTF16LE, UTF16BE})


def disagreements(dataset: Dataset, listing: Listing) -> list[str]:
    """Return a sentence for everything in which a document and the files contradict each other.

    What the files leave open (label, split, which features) is not judged.

    Raises
    ------
    InputError, ServiceError
        A file can't be read.
    """
    interactions = dataset.interactions
    found, table = _source(listing, interactions.source, "interactions", interactions.columns.values())
    if table is not None:
        found += _interactions(dataset, table)
    for of, attributes in (("user", dataset.users), ("item", dataset.items)):
        if attributes is not None:
            found += _attributes(dataset, listing, of, attributes, table)
    return found


def _source(
    listing: Listing, source: Source, section: str, columns: Iterable[str]
) -> tuple[list[str], Table | None]:
    """Compare a source's settings with its files; return the files as a table that the document can read."""
    group = _find(listing, source.path)
    if group is None:
        shown = ", ".join(listing.relative(stored.uri) for stored in listing.files[:8])
        return [f"{section}.path is {source.path!r}: there is no such file; there are {shown}"], None
    table = read_table(group)
    if isinstance(table, Unreadable):
        return [table.sentence], None
    found = []
    delimited = table.dialect is not None
    if source.is_delimited != delimited or (not delimited and source.format != table.format):
        found.append(f"{section}.format is {source.format!r}: {group.path} is {table.format}")
        return found, None
    if table.format != "parquet" and not _same_encoding(source.encoding, table.encoding.name):
        found.append(
            f"{section}.encoding is {source.encoding!r}: {group.path} looks like {table.encoding.name} "
            f"({table.encoding.reason})"
        )
    if table.dialect is not None:
        found += _dialect(source, section, table, table.dialect)
        if found and source.delimiter != table.dialect.delimiter:
            return found, None
        names = list(source.fields) or table.fields
        table = table.rename(dict(zip(table.fields, names, strict=False)))
    missing = [name for name in columns if name not in table.columns]
    for name in missing:
        found.append(f"{section} uses the field {name!r}: {group.path} has {', '.join(table.fields[:30])}")
    return found, None if missing else table


def _dialect(source: Source, section: str, table: Table, dialect: Dialect) -> list[str]:
    path = table.group.path
    found = []
    if source.delimiter != dialect.delimiter:
        found.append(
            f"{section}.delimiter is {source.delimiter!r}: the fields of {path} are separated by "
            f"{dialect.delimiter!r}"
        )
        return found
    if source.header != table.header:
        first = ", ".join(
            table.fields[:4] if table.header else [str(cells[0]) for cells in table.columns.values()][:4]
        )
        said = "names columns" if table.header else "has values"
        found.append(
            f"{section}.header is {str(source.header).lower()}: the first line of {path} {said} ({first})"
        )
    if source.fields and len(source.fields) != dialect.fields:
        found.append(f"{section}.fields has {len(source.fields)} names: {path} has {dialect.fields} fields")
    if dialect.quote and not source.quote:
        found.append(f"{section}.quote is empty: fields of {path} are enclosed in {dialect.quote}")
    if source.quote and not dialect.quote and _opens_with(table, source.quote):
        found.append(f"{section}.quote is {source.quote!r}: in {path} it belongs to the texts; set it to ''")
    if dialect.escape and source.escape != dialect.escape:
        found.append(f"{section}.escape is {source.escape!r}: {path} has {dialect.escape} before quotes")
    if dialect.multiline and not source.multiline:
        found.append(f"{section}.multiline is false: quoted fields of {path} hold line breaks")
    if source.comment != dialect.comment and dialect.comment:
        found.append(
            f"{section}.comment is {source.comment!r}: {path} has lines that begin with {dialect.comment!r}"
        )
    return found


def _opens_with(table: Table, quote: str) -> bool:
    return any(
        cell.startswith(quote) for cells in table.columns.values() for cell in cells if isinstance(cell, str)
    )


def _same_encoding(one: str, other: str) -> bool:
    names = {one.lower().replace("_", "-"), other}
    names = {LATIN1 if name in ("iso8859-1", "iso-8859-1", "latin1") else name for name in names}
    names = {CP1252 if name == "windows-1252" else name for name in names}
    return (
        len(names) == 1
        or (other == UTF8 and _is_ascii_superset(one))
        or any(names <= same for same in SAME_ENCODINGS)
    )


def _is_ascii_superset(name: str) -> bool:
    """A file with ASCII only is read the same by most encodings, but not by those of two bytes per letter."""
    return name.lower() in ("ascii", "utf-8-sig")


def _interactions(dataset: Dataset, table: Table) -> list[str]:
    interactions, found = dataset.interactions, []
    if interactions.value is not None:
        found += _values(interactions, table)
    if interactions.timestamp is not None:
        found += _times(interactions, table)
    if interactions.event is not None:
        found += _events(dataset, table)
    item = table.profiles[interactions.item]
    if (
        item.separator
        and item.mean_words > 1.2
        and interactions.item_separator is None
        and item.separator == " "
    ):
        found.append(
            f"interactions.item_separator is missing: {interactions.item} holds several items, such as "
            f"{item.examples[0][:40]!r}"
        )
    expected = expect_quarantine(table, dataset)
    share = sum(entry.share for entry in expected)
    if share > dataset.quarantine.max_share and not found:
        found.append(
            f"quarantine.max_share is {dataset.quarantine.max_share:g}: {share:.1%} of the sampled rows of "
            f"{table.group.path} can't be used ({most_common(expected)})"
        )
    return found


def _values(interactions: Interactions, table: Table) -> list[str]:
    name = str(interactions.value)
    profile = table.profiles[name]
    if interactions.item_value_separator:
        return _values_of_items(interactions, table)
    if not profile.filled:
        return [f"interactions.columns.value is {name!r}: no sampled row has a value there"]
    if not profile.is_numeric:
        return [f"interactions.columns.value is {name!r}: it holds texts, such as {profile.examples[0]!r}"]
    if profile.comma and interactions.source.decimal != ",":
        return [f"interactions.decimal is {interactions.source.decimal!r}: {name} has decimal commas"]
    return []


def _values_of_items(interactions: Interactions, table: Table) -> list[str]:
    mark, between = str(interactions.item_value_separator), interactions.item_separator
    texts = [text for text, _ in table.profiles[interactions.item].top]
    items = [item for text in texts for item in (text.split(between) if between else [text])]
    without = [item for item in items if mark not in item]
    if len(without) > (1 - FITS) * len(items):
        return [
            f"interactions.item_value_separator is {mark!r}: {interactions.item} has items such as {without[0]!r}"
        ]
    return []


def _times(interactions: Interactions, table: Table) -> list[str]:
    name, given = str(interactions.timestamp), interactions.timestamp_format
    profile = table.profiles[name]
    texts = [text for text, _ in profile.top]
    read = seconds_reader(given)
    from_1990 = [seconds for text in texts if (seconds := read(text)) is not None and 6e8 < seconds < 4.1e9]
    if texts and len(from_1990) < FITS * len(texts):
        other = f"it looks like {profile.time.name}" if profile.time else "it doesn't look like a time"
        return [
            f"interactions.timestamp_format is {given!r}: {name} has values such as {texts[0]!r}; {other}"
        ]
    return []


def _events(dataset: Dataset, table: Table) -> list[str]:
    label = dataset.label
    if not isinstance(label, ImplicitLabel) or not label.event_weights:
        return []
    name = str(dataset.interactions.event)
    there = [text for text, _ in table.profiles[name].top]
    absent = [event for event in label.event_weights if event not in there]
    known = [event for event in label.event_weights if event in there]
    if absent and (not known or table.whole):
        return [
            f"label.event_weights names {', '.join(absent)}, which {name} never is: there are {', '.join(there[:12])}"
        ]
    return []


def _attributes(
    dataset: Dataset, listing: Listing, of: str, attributes: Attributes, interactions: Table | None
) -> list[str]:
    section = f"{of}s"
    features = [feature for feature in dataset.features if feature.of == of]
    columns = [attributes.id, *(feature.column for feature in features)]
    found, table = _source(listing, attributes.source, section, columns)
    if table is None:
        return found
    for feature in features:
        profile = table.profiles[feature.column]
        if feature.kind in ("numeric", "bucket") and profile.filled and not profile.is_numeric:
            found.append(
                f"features {feature.name!r} is {feature.kind}: {feature.column} holds texts, such as "
                f"{profile.examples[0]!r}"
            )
        if feature.kind == "date-part" and profile.filled:
            read: Callable[[str], float | None] = seconds_reader(str(feature.timestamp_format))
            texts = [text for text, _ in profile.top]
            if sum(read(text) is not None for text in texts) < FITS * len(texts):
                other = (
                    f"it looks like {profile.time.name}" if profile.time else "it doesn't look like a time"
                )
                found.append(
                    f"features {feature.name!r} has timestamp_format {feature.timestamp_format!r}: {feature.column} "
                    f"has values such as {texts[0]!r}; {other}"
                )
    if interactions is not None and interactions.whole and table.whole:
        name = dataset.interactions.columns[of]
        there = {cell for cell in interactions.columns[name] if isinstance(cell, str)}
        own = {cell for cell in table.columns[attributes.id] if isinstance(cell, str)}
        separated = of == "item" and dataset.interactions.item_separator is not None
        matched = len(there & own)
        if there and own and not separated and matched < FEWEST_MATCHED * len(there):
            how_many = f"only {matched}" if matched else "none"
            example = min(own - there, default="")
            found.append(
                f"{section}.id is {attributes.id!r}: {how_many} of the {len(there)} {of}s of the interactions "
                f"{'is' if matched < 2 else 'are'} there ({example!r} against {min(there - own)!r})"
            )
    return found


def _find(listing: Listing, path: str) -> Group | None:
    """Return the files that a document's path names, relative to the root or absolute."""
    full = path if "://" in path or path.startswith("/") else f"{listing.root.rstrip('/')}/{path}"
    full = full.rstrip("/")
    root = listing.root.rstrip("/")
    chosen = [
        stored
        for stored in listing.files
        for uri in [stored.uri if stored.uri.startswith(root) else f"{root}/{stored.uri}"]
        if uri == full or uri.rsplit("/", 1)[0] == full or _globbed(uri, full)
    ]
    return Group(path, tuple(chosen)) if chosen else None


def _globbed(uri: str, pattern: str) -> bool:
    parts, patterns = uri.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
