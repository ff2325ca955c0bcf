"""Pieces of a report's page: HTML that stands alone in one file, without scripts and without network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #616e7c; --line: #e4e7eb; --accent: #0b6e99; --other: #c5ccd3; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
p.lead, .note { color: var(--muted) } .note { font-size: .85rem }
table { border-collapse: collapse; width: 100%; font-size: .92rem } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem } .tile { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; min-width: 8rem }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums } .tile span { color: var(--muted); font-size: .85rem }
.timeline div { display: grid; grid-template-columns: 22rem 1fr 4rem; gap: .6rem; align-items: center; font-size: .85rem }
.timeline i { display: block; height: .8rem; background: var(--accent); border-radius: 2px; min-width: 2px } .timeline i.other { background: var(--other) }
.timeline span:last-child { text-align: right; font-variant-numeric: tabular-nums }
.limits div { display: grid; grid-template-columns: 14rem 1fr 6rem; gap: .6rem; align-items: center; font-size: .85rem }
.limits span.scale { position: relative; background: var(--line); height: .8rem; border-radius: 2px } .limits i { display: block; height: .8rem; background: var(--other); border-radius: 2px }
.limits i.warn { background: #946200 } .limits i.stop { background: #b42318 } .limits b { position: absolute; top: -.2rem; width: 2px; height: 1.2rem; background: #946200 } .limits b.stop { background: #b42318 }
.limits span:last-child { text-align: right; font-variant-numeric: tabular-nums }
.users { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem } .users section { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem }
.users h3 { margin: 0 0 .4rem; font-size: 1rem } .users h4 { margin: .8rem 0 .2rem; font-size: .8rem; color: var(--muted); font-weight: 600 } ol, ul { margin: 0; padding-left: 1.3rem; font-size: .88rem } li span { color: var(--muted) }
svg { max-width: 100%; height: auto }
.passed { color: #0a7d3f } .failed { color: #b42318 } .warned { color: #946200 }
"""


def page(title: str, heading: str, lead: str, sections: Iterable[tuple[str, str]]) -> str:
    """A whole document. ``title`` and ``heading`` are text; ``lead`` and the sections' bodies are HTML.

    A section whose body is empty is left out.
    """
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(heading)}</h1>",
        f"<p class=lead>{lead}</p>",
    ]
    for name, body in sections:
        if body:
            parts += [f"<h2>{escape(name)}</h2>" if name else "", body]
    return "\n".join([*parts, "</html>"])


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Figures in boxes: (figure, what it counts)."""
    inner = "".join(
        f"<div class=tile><b>{escape(figure)}</b><span>{escape(meaning)}</span></div>"
        for figure, meaning in pairs
    )
    return f"<div class=tiles>{inner}</div>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> str:
    """A table of HTML cells; ``numbers`` names the columns that are set as numbers. Empty without rows."""
    classes = [" class=number" if head in numbers else "" for head in heads]
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(classes, heads, strict=True))
    return f"<table><tr>{head}</tr>{body}</table>"


def note(text: str) -> str:
    """A remark below a table, from HTML."""
    return f"<p class=note>{text}</p>"


def sentences(lines: Iterable[tuple[str, str]]) -> str:
    """A list of (class, text), such as ("failed", "3 lists differ"). Empty without lines."""
    inner = "".join(f"<li class={kind}>{escape(text)}</li>" for kind, text in lines)
    return f"<ul>{inner}</ul>" if inner else ""


def timeline(rows: Sequence[tuple[str, float, float]]) -> str:
    """When things ran: (name, seconds from the start, seconds it took)."""
    total = max((start + seconds for _, start, seconds in rows), default=1.0) or 1.0
    inner = "".join(
        f"<div><span>{escape(name)}</span><span><i style='margin-left:{100 * start / total:.2f}%;"
        f"width:{100 * seconds / total:.2f}%'></i></span><span>{seconds:.1f} s</span></div>"
        for name, start, seconds in rows
    )
    return f"<div class=timeline>{inner}</div>" if inner else ""


def bars(values: Mapping[str, float], highlight: str) -> str:
    """Horizontal bars from zero, largest first, one of them highlighted. Values are not negative."""
    largest = max(values.values(), default=0.0) or 1.0
    inner = "".join(
        f"<div><span>{escape(name)}</span><span><i{'' if name == highlight else ' class=other'} "
        f"style='width:{100 * value / largest:.2f}%'></i></span><span>{value:.4f}</span></div>"
        for name, value in sorted(values.items(), key=lambda pair: -pair[1])
    )
    return f"<div class=timeline>{inner}</div>" if inner else ""


def limited(rows: Iterable[tuple[str, float, str, Mapping[str, float | None]]]) -> str:
    """Bars of values with a mark for each limit: (name, value, the value as text, limits by level).

    Each bar has a scale of its own, which ends a quarter beyond the larger of its value and its limits; what
    has passed a limit is drawn in that level's colour, the last one's that was passed. Values are not
    negative.
    """
    inner = "".join(_limited(*row) for row in rows)
    return f"<div class=limits>{inner}</div>" if inner else ""


def _limited(name: str, value: float, text: str, limits: Mapping[str, float | None]) -> str:
    known = {level: limit for level, limit in limits.items() if limit is not None}
    scale = 1.25 * max(value, *known.values(), 0.0) or 1.0
    passed = [level for level, limit in known.items() if value > limit]
    marks = "".join(
        f"<b class={level} style='left:{100 * limit / scale:.2f}%' title='{escape(level)}: {limit:g}'></b>"
        for level, limit in known.items()
    )
    return (
        f"<div><span>{escape(name)}</span><span class=scale><i class='{passed[-1] if passed else ''}' "
        f"style='width:{100 * value / scale:.2f}%'></i>{marks}</span><span>{escape(text)}</span></div>"
    )
