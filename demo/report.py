"""Write what the demo found: report.json for programs, report.html for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

PUBLISHED = {
    "binary_classification_accuracy": 0.7159,
    "binary_classification_cross_entropy": 0.5811,
    "binary_f_beta": 0.7456,
}
"""AWS ML blog, MovieLens 100k (ua split), SageMaker FM, 64 factors: what a reader compares with."""

LABELS = {
    "binary_classification_accuracy": "accuracy",
    "binary_classification_cross_entropy": "cross entropy",
    "binary_f_beta": "F1",
}

RANKINGS = {
    "ndcg_at_10": "recommend: implicit feedback with sampled negatives",
    "als_ndcg_at_10": "alternating least squares (implicit)",
    "popularity_ndcg_at_10": "popularity (the better of most rated and most liked)",
    "explicit_ndcg_at_10": "predict-rating: the same machine, trained on ratings",
}

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #616e7c; --line: #e4e7eb; --accent: #0b6e99; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
p.lead, .note { color: var(--muted) } .note { font-size: .85rem }
table { border-collapse: collapse; width: 100%; font-size: .92rem } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem } .tile { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; min-width: 8rem }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums } .tile span { color: var(--muted); font-size: .85rem }
.timeline div { display: grid; grid-template-columns: 22rem 1fr 4rem; gap: .6rem; align-items: center; font-size: .85rem }
.timeline i { display: block; height: .8rem; background: var(--accent); border-radius: 2px; min-width: 2px }
.timeline span:last-child { text-align: right; font-variant-numeric: tabular-nums }
.users { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem } .users section { border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem }
.users h3 { margin: 0 0 .4rem; font-size: 1rem } .users h4 { margin: .8rem 0 .2rem; font-size: .8rem; color: var(--muted); font-weight: 600 } ol, ul { margin: 0; padding-left: 1.3rem; font-size: .88rem } li span { color: var(--muted) }
svg { max-width: 100%; height: auto }
.passed { color: #0a7d3f } .failed { color: #b42318 }
"""


@dataclass(frozen=True)
class Report:
    """``document`` goes to report.json as it is; the plots and examples are for the page only."""

    document: dict[str, Any]
    plots: dict[str, str] = field(default_factory=dict)
    """Title → SVG, in order."""
    users: list[dict[str, Any]] = field(default_factory=list)
    """``user``, ``lists``: heading → titles."""
    timeline: list[tuple[str, float, float]] = field(default_factory=list)
    """State, seconds from the start when it was entered, seconds it took."""

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both files and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        as_json, as_html = folder / "report.json", folder / "report.html"
        as_json.write_text(json.dumps(self.document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        as_html.write_text(self.html(), encoding="utf-8")
        return as_json, as_html

    def html(self) -> str:
        document = self.document
        status = document["execution"]["status"]
        parts = [
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
            f"<title>MovieLens 100k to top-N</title><style>{STYLE}</style>",
            "<h1>MovieLens 100k: ratings to top-N recommendations</h1>",
            f"<p class=lead>Deployed with <code>cdk deploy</code> in {document['deploy_seconds']:.0f} s; "
            f"the workflow {escape(status.lower())} after {document['execution']['seconds']:.0f} s.</p>",
            self._tiles(),
            "<h2>Task recommend: top 10 over the whole catalogue, NDCG@10</h2>",
            ranking_table(document["ranking"]),
            "<h2>Task predict-rating: test metrics and the published ones</h2>",
            metrics_table(document["metrics"]),
            *(f"<h2>{escape(title)}</h2>{svg}" for title, svg in self.plots.items()),
            "<h2>What a few users get</h2>",
            self._user_lists(),
            "<h2>Instances</h2>",
            instances_table(document["instances"]),
            "<h2>Checks</h2>",
            self._checks(),
            "<h2>Timeline of the states</h2>",
            self._timeline(),
            "</html>",
        ]
        return "\n".join(parts)

    def _tiles(self) -> str:
        dataset, recommendations, endpoint = (
            self.document[name] for name in ("dataset", "recommendations", "endpoint")
        )
        tiles = [
            (f"{dataset['train_rows']:,}", "ratings to train on"),
            (f"{dataset['test_rows']:,}", "ratings held out"),
            (f"{dataset['feature_dim']:,}", "features"),
            (f"{dataset['train_bytes']:,}", "bytes of recordIO (train)"),
            (f"{recommendations['users']:,} × {recommendations['per_user']}", "recommendations served"),
            (endpoint.get("instance_type") or "none", f"endpoint {(endpoint.get('status') or '').lower()}"),
        ]
        inner = "".join(f"<div class=tile><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in tiles)
        return f"<div class=tiles>{inner}</div>"

    def _user_lists(self) -> str:
        sections = []
        for user in self.users:
            lists = "".join(
                f"<h4>{escape(heading)}</h4><ol>{''.join(f'<li>{escape(title)}</li>' for title in titles)}</ol>"
                for heading, titles in user["lists"].items()
            )
            sections.append(f"<section><h3>User {escape(user['user'])}</h3>{lists}</section>")
        return f"<div class=users>{''.join(sections)}</div>"

    def _checks(self) -> str:
        rows = "".join(
            f"<li class={'passed' if check['passed'] else 'failed'}>{escape(check['sentence'])}</li>"
            for check in self.document["checks"]
        )
        return f"<ul>{rows}</ul>"

    def _timeline(self) -> str:
        total = max((start + seconds for _, start, seconds in self.timeline), default=1.0) or 1.0
        rows = "".join(
            f"<div><span>{escape(name)}</span><span><i style='margin-left:{100 * start / total:.2f}%;"
            f"width:{100 * seconds / total:.2f}%'></i></span><span>{seconds:.1f} s</span></div>"
            for name, start, seconds in self.timeline
        )
        return f"<div class=timeline>{rows}</div>"


def ranking_table(ranking: dict[str, Any]) -> str:
    """NDCG of the run, best first among others that rank the same films for the same users."""
    rows = "".join(
        f"<tr><td>{title}</td><td class=number>{ranking[name]:.4f}</td></tr>"
        for name, title in sorted(RANKINGS.items(), key=lambda pair: -ranking[pair[0]])
    )
    return (
        f"<table><tr><th>what ranks</th><th class=number>NDCG@10</th></tr>{rows}</table>"
        f"<p class=note>All films that a user hasn't rated in training are ranked, for {ranking['users']:,} users "
        "with a held-out rating of 4 or 5, by one and the same code. "
        f"This run's recall@10 is {ranking['recall_at_10']:.4f}, its hit rate {ranking['hit_rate_at_10']:.4f}, "
        f"and its lists show {ranking['coverage']:.1%} of the catalogue.</p>"
    )


def metrics_table(metrics: dict[str, float]) -> str:
    """Our figures and the published ones."""
    rows = "".join(
        f"<tr><td>{LABELS[name]}</td><td class=number>{metrics[name]:.4f}</td><td class=number>{value:.4f}</td></tr>"
        for name, value in PUBLISHED.items()
    )
    return (
        "<table><tr><th>metric</th><th class=number>this run</th><th class=number>published</th></tr>"
        f"{rows}</table><p class=note>Published: AWS Machine Learning Blog, SageMaker Factorization Machines, "
        "50 epochs, the same split.</p>"
    )


def instances_table(rows: list[dict[str, Any]]) -> str:
    """What each step ran on, and why not on something smaller."""
    body = "".join(
        f"<tr><td>{escape(row['step'].replace('_', ' '))}</td><td>{escape(row['instance_type'])}</td>"
        f"<td>{escape(row['why'])}{''.join(f'<br>not {escape(why)}' for why in row['passed_over'])}"
        f"{''.join(f'<br>refused: {escape(str(refusal))}' for refusal in row['refused'])}</td></tr>"
        for row in rows
    )
    return f"<table><tr><th>step</th><th>instance</th><th>why</th></tr>{body}</table>"
