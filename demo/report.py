"""Write what the demo found: report.json for programs, report.html for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from fmrec.reporting import page

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
        return page.page(
            "MovieLens 100k to top-N",
            "MovieLens 100k: ratings to top-N recommendations",
            f"Deployed with <code>cdk deploy</code> in {document['deploy_seconds']:.0f} s; "
            f"the workflow {escape(status.lower())} after {document['execution']['seconds']:.0f} s.",
            [
                ("", self._tiles()),
                (
                    "Task recommend: top 10 over the whole catalogue, NDCG@10",
                    ranking_table(document["ranking"]),
                ),
                (
                    "Task predict-rating: test metrics and the published ones",
                    metrics_table(document["metrics"]),
                ),
                *self.plots.items(),
                ("What a few users get", self._user_lists()),
                ("Instances", instances_table(document["instances"])),
                ("Checks", self._checks()),
                ("Timeline of the states", page.timeline(self.timeline)),
            ],
        )

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
        return page.tiles(tiles)

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
        return page.sentences(
            ("passed" if check["passed"] else "failed", check["sentence"])
            for check in self.document["checks"]
        )


def ranking_table(ranking: dict[str, Any]) -> str:
    """NDCG of the run, best first among others that rank the same films for the same users."""
    rows = [
        (title, f"{ranking[name]:.4f}")
        for name, title in sorted(RANKINGS.items(), key=lambda pair: -ranking[pair[0]])
    ]
    return page.table(("what ranks", "NDCG@10"), rows, numbers=("NDCG@10",)) + page.note(
        f"All films that a user hasn't rated in training are ranked, for {ranking['users']:,} users "
        "with a held-out rating of 4 or 5, by one and the same code. "
        f"This run's recall@10 is {ranking['recall_at_10']:.4f}, its hit rate {ranking['hit_rate_at_10']:.4f}, "
        f"and its lists show {ranking['coverage']:.1%} of the catalogue."
    )


def metrics_table(metrics: dict[str, float]) -> str:
    """Our figures and the published ones."""
    rows = [(LABELS[name], f"{metrics[name]:.4f}", f"{value:.4f}") for name, value in PUBLISHED.items()]
    return page.table(
        ("metric", "this run", "published"), rows, numbers=("this run", "published")
    ) + page.note(
        "Published: AWS Machine Learning Blog, SageMaker Factorization Machines, 50 epochs, the same split."
    )


def instances_table(rows: list[dict[str, Any]]) -> str:
    """What each step ran on, and why not on something smaller."""
    return page.table(
        ("step", "instance", "why"),
        (
            (
                escape(row["step"].replace("_", " ")),
                escape(row["instance_type"]),
                escape(row["why"])
                + "".join(f"<br>not {escape(why)}" for why in row["passed_over"])
                + "".join(f"<br>refused: {escape(str(refusal))}" for refusal in row["refused"]),
            )
            for row in rows
        ),
    )
