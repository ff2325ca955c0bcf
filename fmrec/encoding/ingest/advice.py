"""What to change in the document, seen from the rows that could not be used."""

from __future__ import annotations

import json

from fmrec.dataset import Interactions, Source
from fmrec.dataset.timestamps import NAMED_FORMATS
from fmrec.encoding.ingest.encodings import UTF8, undecoded_reason
from fmrec.encoding.ingest.files import open_heads
from fmrec.errors import InputError
from fmrec.inspection.encodings import detect_encoding
from fmrec.inspection.times import detect_time_format

EXAMPLES = 50


def on_bytes(names: list[str], source: Source, section: str) -> str:
    """Say which encoding files of a section seem to have, whose lines are not text in the document's."""
    if source.format == "parquet":
        return f"; {undecoded_reason(UTF8)}: write texts as UTF-8"
    try:
        heads = [file.head or b"" for file in open_heads(names[:EXAMPLES], source.encoding)]
    except InputError:
        heads = []
    found = {detect_encoding([head], whole=False).name for head in heads} - {UTF8, source.encoding}
    meant = sorted(found)[0] if found else None
    if meant is None:
        return f"; {undecoded_reason(source.encoding)}: set {section}.encoding to how the files are written"
    return f"; it reads as {meant}: set {section}.encoding to {meant!r}"


def on_times(texts: list[str], column: str, interactions: Interactions) -> str:
    """Say how times are written that can't be read as the document says, if that can be seen."""
    if interactions.source.decimal != ".":
        texts = [text.replace(interactions.source.decimal, ".") for text in texts]
    found = detect_time_format(texts)
    meant = found.name if found else None
    if not texts or meant == interactions.timestamp_format:
        return ""
    if meant is None:
        return (
            f"; {column!r} is not written in {interactions.timestamp_format}, e.g. {texts[0]!r}: set "
            f"interactions.timestamp_format to one of {', '.join(NAMED_FORMATS)}, or a pattern"
        )
    return (
        f"; {column!r} looks like {meant}, e.g. {texts[0]!r}: set interactions.timestamp_format to {meant!r}"
    )


def on_keys(keys: tuple[str, ...], interactions: Interactions) -> str:
    """Say which keys JSON objects have instead of those that the document names."""
    names = [column for column in interactions.columns.values() if column not in keys]
    if not names or not keys:
        return ""
    shown = ", ".join(repr(key) for key in keys[:EXAMPLES])
    return f"; the first objects lack {', '.join(map(repr, names))}, their keys are {shown}: check interactions.columns"


def in_json(raws: list[str], column: str) -> list[str]:
    """Return what a column holds in rows that the quarantine shows as JSON."""
    found = [json.loads(raw).get(column) for raw in raws if raw.startswith("{")]
    return [str(text) for text in found if text is not None]
