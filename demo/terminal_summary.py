"""What a reader at the terminal sees when the demo is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demo.cloud import Cloud
from demo.report import LABELS, PUBLISHED, Report

SHOWN = 10


def say(text: str = "") -> None:
    print(text, flush=True)


def print_figures(report: Report) -> None:
    """Print data set, both tasks' figures, instances, lists, checks and times."""
    document = report.document
    _print_dataset(document["dataset"])
    say("\nTask predict-rating: test metrics      this run    published")
    for name, reference in PUBLISHED.items():
        say(f"  {LABELS[name]:<34}{document['metrics'][name]:>11.4f}{reference:>13.4f}")
    _print_decision(document["decision"])
    _print_ranking(document["ranking"])
    _print_live(document["live"])
    say("\nInstances")
    for row in document["instances"]:
        say(f"  {row['step'].replace('_', ' '):<18}{row['instance_type']:<15}{row['why']}")
        for reason in row["passed_over"]:
            say(f"  {'':<18}not {reason}")
        for refusal in row["refused"]:
            say(f"  {'':<18}refused: {refusal}")
    for user in report.users:
        say(f"\nUser {user['user']} liked {'; '.join(user['lists']['liked'][:3])}. For this user:")
        for rank, title in enumerate(user["lists"]["recommended"][:SHOWN], 1):
            say(f"  {rank:2d}. {title}")
    say()
    for check in document["checks"]:
        say(f"{'passed' if check['passed'] else 'FAILED'}: {check['sentence']}")
    for endpoint in (document["endpoint"], document["rating_endpoint"]):
        say(f"endpoint {endpoint['name']} is {endpoint['status']} on {endpoint['instance_type']}")
    say(
        f"deploy {document['deploy_seconds']:.0f} s, recommend {document['execution']['seconds']:.0f} s, "
        f"predict-rating {document['rating_execution']['seconds']:.0f} s, "
        f"all {document['total_seconds']:.0f} s"
    )


def _print_dataset(dataset: Mapping[str, Any]) -> None:
    say("\nData set (predict-rating)              this run    published")
    for name, value, published in (
        ("train rows", dataset["train_rows"], "90,570"),
        ("test rows", dataset["test_rows"], "9,430"),
        ("features", dataset["feature_dim"], "2,625"),
        ("train bytes", dataset["train_bytes"], "5,796,480"),
    ):
        say(f"  {name:<34}{value:>11,}{published:>13}")


def _print_live(live: Mapping[str, Any]) -> None:
    """What users whom training never saw get, by how many of their interactions are known."""
    say(f"\nFolded in: {live['users']} users left out of training  NDCG@10")
    for name, value in (
        ("from all that they liked", live["ndcg_at_10"]),
        *((f"from {length}", live["by_interactions"][length]) for length in ("10", "5", "3", "1")),
        ("what is popular", live["popularity_ndcg_at_10"]),
    ):
        say(f"  {name:<49}{value:.4f}")
    say(f"  a list takes {live['p50_ms']:.1f} ms (p50), {live['p95_ms']:.1f} ms (p95)")


def _print_decision(decision: Mapping[str, Any]) -> None:
    judged = decision["judged"]
    usual, chosen = judged["usual"]["accuracy"], judged["chosen"]["accuracy"]
    say(
        f"  a score of at least {decision['threshold']:.3f} means yes: accuracy {chosen:.4f}, against {usual:.4f} at 0.5"
    )
    say(
        f"  probabilities' cross entropy {judged['cross_entropy']['probability']:.4f}, each half of the users judged by the other"
    )


def _print_ranking(ranking: Mapping[str, Any]) -> None:
    say(f"\nTask recommend: all films ranked for {ranking['users']:,} users        NDCG@10")
    for title, name in (
        ("this run", "ndcg_at_10"),
        ("implicit's alternating least squares", "als_ndcg_at_10"),
        ("what is popular", "popularity_ndcg_at_10"),
        ("the machine that learned ratings", "explicit_ndcg_at_10"),
    ):
        say(f"  {title:<46}{ranking[name]:>11.4f}")
    say(
        f"  this run's recall@10 is {ranking['recall_at_10']:.4f}, hit rate {ranking['hit_rate_at_10']:.4f}, "
        f"coverage {ranking['coverage']:.4f}"
    )


def print_how_to_use(cloud: Cloud, bucket: str, page: str) -> None:
    """Print how to reach the cloud that keeps running, and the page over its API."""
    say(f"\nLook at recommendations, click, and watch them change: {page}")
    say("\nThe local cloud keeps running; `make demo-down` stops it. To use it from another shell:")
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        say(f"  export {name}={cloud.environment[name]}")
    say(f"  aws s3 ls s3://{bucket}/")
    say("  .venv/bin/python -m fmrec recommend 42")
    say("  .venv/bin/python -m fmrec predict 42 50 100")
    say("  .venv/bin/python -m fmrec status")
    say("  .venv/bin/python -m fmrec models")
    say("  .venv/bin/python -m fmrec run")
