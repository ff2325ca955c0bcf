"""An inspection in words for people, and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from fmrec.inspection.encodings import UTF8
from fmrec.inspection.inspection import Inspection, Seen
from fmrec.inspection.profiles import Profile

KINDS = {
    "interactions": "the interactions",
    "users": "describes users",
    "items": "describes items",
    "wide matrix": "a matrix with a row per user and a column per item",
    "other": "not used",
}


def in_words(found: Inspection) -> str:
    """Say what was found, why, and what to do next."""
    lines = [f"{found.path}: {_count(found.files, 'file')}, {_size(found.size)}"]
    for entry in found.tables:
        lines += ["", *_table(entry)]
    for unreadable in found.unreadable:
        lines += ["", unreadable.sentence]
    for note in found.notes:
        lines += ["", f"Note: {note}."]
    if found.recipe is not None:
        lines += ["", found.recipe.sentence]
    if found.document is not None:
        lines += ["", *_settings(found), "", *_quarantine(found)]
    if found.question:
        lines += ["", f"Question: {found.question}"]
    if found.document is not None:
        lines += ["", "The data set document:", json.dumps(found.document, indent=2, ensure_ascii=False)]
    return "\n".join(lines)


def as_json(found: Inspection) -> dict[str, Any]:
    """Return all that was found as a JSON document."""
    return {
        "path": found.path,
        "root": found.root,
        "files": found.files,
        "bytes": found.size,
        "tables": [_table_document(entry) for entry in found.tables],
        "unreadable": [
            {"path": entry.group.path, "kind": entry.kind, "reason": entry.sentence, "recipe": entry.recipe}
            for entry in found.unreadable
        ],
        "document": found.document,
        "reasons": found.reasons,
        "quarantine": [asdict(entry) for entry in found.expected],
        "question": found.question,
        "recipe": None
        if found.recipe is None
        else {"name": found.recipe.name, "page": found.recipe.anchor, "reason": found.recipe.reason},
        "notes": found.notes,
    }


def _table(entry: Seen) -> list[str]:
    table = entry.table
    rows = f"{table.estimated_rows:,} rows" if table.whole else f"about {table.estimated_rows:,} rows"
    files = f" ({_count(len(table.group.files), 'file')})" if len(table.group.files) > 1 else ""
    lines = [f"{table.group.path}{files}: {KINDS[entry.kind]}, {rows}", f"  {_layout(entry)}"]
    if entry.kind in ("other", "wide matrix"):
        shown = ", ".join(table.fields[:12])
        return [*lines, f"  fields {shown}" + (", …" if len(table.fields) > 12 else "")]
    width = min(28, max(len(name) for name in table.fields))
    for name, profile in table.profiles.items():
        role, reason = _role(entry, name)
        lines.append(f"  {name:<{width}}  {role:<10} {reason or _profile(profile)}")
    return lines


def _layout(entry: Seen) -> str:
    table = entry.table
    if table.format == "parquet":
        return "Parquet"
    parts = ["JSON Lines"]
    if table.dialect is not None:
        parts = [f"separated by {table.dialect.delimiter_name}"]
        if table.dialect.quote:
            parts.append(f"quoted with {table.dialect.quote}")
        if table.dialect.escape:
            parts.append(f"escaped with {table.dialect.escape}")
        if table.dialect.multiline:
            parts.append("texts over several lines")
        without = f"without a header (names from {table.named_by})"
        if table.headless:
            without = "with a header in the first file only"
        parts.append("with a header" if table.header else without)
    encoding = table.encoding
    shown = "UTF-8" if encoding.name == UTF8 else f"{encoding.name}: {encoding.reason}"
    return ", ".join([*parts, shown])


def _role(entry: Seen, name: str) -> tuple[str, str]:
    for role, choice in entry.roles.choices.items():
        if choice.field == name and entry.kind == "interactions":
            return role, choice.reason
    description = entry.description
    if description is None:
        return "-", ""
    if name == description.id:
        return "id", description.reason
    return ("feature" if name in description.fields else "-"), description.reasons.get(name, "")


def _profile(profile: Profile) -> str:
    if not profile.filled:
        return "empty"
    shown = ", ".join(text if len(text) <= 24 else f"{text[:23]}…" for text in profile.examples)
    missing = f", {profile.missing_share:.0%} missing" if profile.missing_share >= 0.005 else ""
    return f"{profile.distinct} different values{missing}, such as {shown}"


def _settings(found: Inspection) -> list[str]:
    return [f"{setting}: {reason}." for setting, reason in found.reasons.items()]


def _quarantine(found: Inspection) -> list[str]:
    if not found.expected:
        return ["No sampled row would be quarantined."]
    lines = ["Sampled rows that would be quarantined:"]
    for entry in found.expected:
        where = f" in {entry.column}" if entry.column else ""
        lines.append(f"  {entry.share:.2%} {entry.reason}{where}, such as {entry.example[:60]!r}")
    return lines


def _table_document(entry: Seen) -> dict[str, Any]:
    table, dialect = entry.table, entry.table.dialect
    layout: dict[str, Any] = {"format": table.format}
    if table.format != "parquet":
        layout |= {"encoding": table.encoding.name, "encoding_reason": table.encoding.reason}
    if dialect is not None:
        layout |= {
            "delimiter": dialect.delimiter,
            "quote": dialect.quote,
            "escape": dialect.escape,
            "multiline": dialect.multiline,
            "header": table.header,
        }
    return {
        "path": table.group.path,
        "files": len(table.group.files),
        "kind": entry.kind,
        "rows": table.estimated_rows,
        "exact": table.whole,
        **layout,
        "names_from": table.named_by,
        "fields": [_field_document(entry, profile) for profile in table.profiles.values()],
        "unreadable_rows": [asdict(bad) for bad in table.bad],
    }


def _field_document(entry: Seen, profile: Profile) -> dict[str, Any]:
    role, reason = _role(entry, profile.name)
    return {
        "name": profile.name,
        "role": None if role == "-" else role,
        "reason": reason or _profile(profile),
        "kind": profile.kind,
        "distinct": profile.distinct,
        "missing": round(profile.missing_share, 4),
        "missing_texts": list(profile.missing),
        "time_format": profile.time.name if profile.time else None,
        "examples": profile.examples,
    }


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _size(size: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
