"""The verdicts on all points as JSON and as a Markdown table, made to be pasted into the documentation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from fmrec.verification.evidence import Evidence, Verdict
from fmrec.verification.points import POINTS, Point


@dataclass(frozen=True)
class Outcome:
    """A whole verification: every point with its verdict, and what could not be removed."""

    region: str
    began: str
    seconds: float
    verdicts: Mapping[str, Verdict]
    left_behind: tuple[str, ...]
    failure: str | None

    @property
    def counts(self) -> Counter[str]:
        return Counter(verdict.status for verdict in self.verdicts.values())


def judge(evidence: Evidence) -> dict[str, Verdict]:
    """Give every point its verdict."""
    return {point.name: point.judge(evidence) for point in POINTS}


def write(outcome: Outcome, folder: Path) -> tuple[Path, Path]:
    """Write ``verification.json`` and ``verification.md``; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "version": 1,
        "region": outcome.region,
        "began": outcome.began,
        "seconds": round(outcome.seconds, 1),
        "failure": outcome.failure,
        "left_behind": list(outcome.left_behind),
        "counts": dict(outcome.counts),
        "points": [
            {
                "name": point.name, "statement": point.statement, "expected": point.expected,
                "documented": point.documented, **asdict(outcome.verdicts[point.name]),
            }
            for point in POINTS
        ],
    }  # fmt: skip
    as_json, as_markdown = folder / "verification.json", folder / "verification.md"
    as_json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    as_markdown.write_text(markdown(outcome), encoding="utf-8")
    return as_json, as_markdown


def markdown(outcome: Outcome) -> str:
    """The verdicts as a table."""
    lines = [
        f"Verified in {outcome.region}, {outcome.began[:10]}: "
        + ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
        + ".",
        "",
        "| point | expected | seen | verdict | documented in |",
        "| --- | --- | --- | --- | --- |",
    ]
    for point in POINTS:
        verdict = outcome.verdicts[point.name]
        cells = (point.statement, point.expected, verdict.seen, verdict.status, point.documented)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def point_table() -> str:
    """The points themselves as a Markdown table, as docs/verify.md shows them."""
    lines = ["| point | statement | confirmed by | documented in |", "| --- | --- | --- | --- |"]
    lines += [f"| {_row(point)} |" for point in POINTS]
    return "\n".join(lines) + "\n"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _row(point: Point) -> str:
    return " | ".join(
        _cell(text) for text in (f"`{point.name}`", point.statement, point.expected, point.documented)
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
