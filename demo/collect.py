"""Put together what the demo shows: figures of both tasks, checks, plots, a few users' lists."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demo import cold_users, plots, results, rival_models
from demo.cloud import Cloud
from demo.movielens import MovieLens
from demo.report import Report
from demo.rival_models import Arena
from fmrec.artifacts.manifest import Manifest
from fmrec.execution.step_functions import Execution
from fmrec.model.factorization_machine import FactorizationMachine

EXAMPLE_USERS = ("1", "42", "405")
HIT = " - held out, and liked"
"""Stands after a recommended film that the user liked, of which the model did not know."""
BARS = {
    "popularity_ndcg_at_10": "most rated or most liked",
    "explicit_ndcg_at_10": "FM on ratings (predict-rating)",
    "als_ndcg_at_10": "implicit's ALS",
    "ndcg_at_10": "FM with negatives (recommend)",
}


@dataclass(frozen=True)
class Trained:
    """A run that ended well: what it encoded, trained, and wrote down."""

    execution: Execution
    manifest: Manifest
    job: dict[str, Any]
    model: FactorizationMachine
    report: dict[str, Any]

    @classmethod
    def of(cls, cloud: Cloud, bucket: str, execution: Execution) -> Trained:
        job = results.fm_training_job(cloud, execution.jobs)
        return cls(
            execution,
            results.read_manifest(cloud, bucket, execution.name),
            job,
            results.load_model(cloud, job),
            results.read_run_report(cloud, bucket, execution.name),
        )

    def document(self) -> dict[str, Any]:
        """The execution and its states."""
        return {
            "name": self.execution.name,
            "status": self.execution.status,
            "seconds": self.execution.seconds,
            "states": [
                {"name": name, "started": began, "seconds": seconds}
                for name, began, seconds in results.state_seconds(self.execution)
            ],
        }


@dataclass(frozen=True)
class Prepared:
    """What the report needs of the run that recommends, and no other run."""

    trained: Trained
    arena: Arena
    als: dict[str, float]
    """Metrics of `implicit`'s lists."""


def prepare(cloud: Cloud, bucket: str, recommend: Execution) -> Prepared:
    """Read what the run left, train its rival, and write what is trained on without the left-out users."""
    trained = Trained.of(cloud, bucket, recommend)
    cold_users.write_channel(cloud, bucket, recommend.name, trained.manifest)
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena.of(rival_models.download_encoding(cloud, bucket, recommend.name, Path(folder)))
    return Prepared(trained, arena, arena.metrics(*rival_models.alternating_least_squares(arena)))


def collect(
    cloud: Cloud,
    outputs: Mapping[str, str],
    prepared: Prepared,
    rating: Execution,
    data: MovieLens,
    seconds: Mapping[str, float],
) -> Report:
    """Gather the figures of the two tasks' runs, check them, and lay out the report."""
    bucket, arena, lists_run = outputs["DataBucket"], prepared.arena, prepared.trained
    recommend = lists_run.execution
    # The job trains while the rest is gathered and drawn; what it is for is measured when all else is done.
    cold_users.start_training(cloud, bucket, recommend.name, lists_run.job)
    rating_run = Trained.of(cloud, bucket, rating)
    ratings = results.Ratings.read(data)
    lists = results.served(cloud, outputs["RecommendationsTable"])
    metrics = results.test_metrics(rating_run.job)
    curve = results.learning_curve(cloud, rating_run.job)
    document: dict[str, Any] = {
        "dataset": _dataset(rating_run.manifest),
        "metrics": metrics,
        "learning_curve": {"train:binary_classification_cross_entropy": curve},
        "ranking": _ranking(prepared, rating_run),
        "recommendations": {
            "users": len(lists),
            "per_user": min(len(recommended.items) for recommended in lists.values()),
        },
        "endpoint": _endpoint(cloud, lists_run.report["endpoint"]["name"]),
        "decision": rating_run.report["decision"],
        "rating_endpoint": _endpoint(cloud, rating_run.report["endpoint"]["name"]),
        "execution": lists_run.document(),
        "rating_execution": rating_run.document(),
        "instances": results.instances(lists_run.report),
        "workflow_report": lists_run.report,
        "rating_workflow_report": rating_run.report,
        "checks": [
            check.document()
            for check in (
                results.brute_force_check(
                    lists_run.model,
                    results.exported(cloud, bucket, recommend.name),
                    lists_run.manifest,
                    ratings,
                    lists,
                ),
                results.nothing_seen_check(ratings, lists),
            )
        ],
        "deploy_seconds": seconds["deploy"],
        "total_seconds": seconds["total"],
    }
    drawn = _plots(document, lists_run, ratings, data)
    document["live"] = cold_users.measure_cold_users(cloud, recommend.name, lists_run.manifest, arena)
    return Report(
        document,
        plots=drawn,
        users=[_example(user, ratings, lists, arena, data.titles()) for user in EXAMPLE_USERS],
        timeline=results.state_seconds(recommend),
    )


def _dataset(manifest: Manifest) -> dict[str, Any]:
    return {
        "train_rows": manifest.train.rows,
        "test_rows": manifest.test.rows,
        "feature_dim": manifest.feature_dim,
        "positive_share": {"train": manifest.train.positive_share, "test": manifest.test.positive_share},
        "train_bytes": manifest.train.bytes,
    }


def _ranking(prepared: Prepared, rating: Trained) -> dict[str, Any]:
    """The workflow's own judgement, and other recommenders' lists judged by the same code."""
    evaluation = prepared.trained.report["evaluation"]
    own = evaluation["model"]["metrics"]
    popularity = max(baseline["metrics"]["ndcg_at_10"] for baseline in evaluation["baselines"].values())
    explicit = prepared.arena.metrics(*rival_models.as_vectors(rating.model, rating.manifest.users))
    return {
        **{name: own[name] for name in ("ndcg_at_10", "recall_at_10", "hit_rate_at_10")},
        "coverage": own["coverage_at_10"],
        "popularity_ndcg_at_10": popularity,
        "als_ndcg_at_10": prepared.als["ndcg_at_10"],
        "explicit_ndcg_at_10": explicit["ndcg_at_10"],
        "users": evaluation["users"],
    }


def _plots(
    document: dict[str, Any], recommend: Trained, ratings: results.Ratings, data: MovieLens
) -> dict[str, str]:
    genres, counts = data.genres(), ratings.counts()
    items = sorted(counts, key=int)
    first_item, end = recommend.manifest.ranges["item"]
    bars = {title: document["ranking"][name] for name, title in BARS.items()}
    return {
        "Who ranks best: NDCG@10 over all films": plots.bars(bars, BARS["ndcg_at_10"], "NDCG@10"),
        "Predicting ratings: learning curve": plots.learning_curve(
            document["learning_curve"]["train:binary_classification_cross_entropy"],
            document["metrics"]["binary_classification_cross_entropy"],
            "cross entropy",
        ),
        "Predicting ratings: where to say yes": plots.decision_curve(
            document["decision"]["curve"], document["decision"]["threshold"]
        ),
        "Films by what the recommending model learned of them": plots.item_map(
            recommend.model.factors[first_item:end],
            [genres[item] for item in items],
            np.array([counts[item] for item in items]),
        ),
    }


def _example(
    user: str,
    ratings: results.Ratings,
    lists: dict[str, results.Recommended],
    arena: Arena,
    titles: dict[str, str],
) -> dict[str, Any]:
    """What a user liked, what popularity says, what we say."""
    items = ratings.catalogue()
    relevant = ratings.held_out_liked(user)
    return {
        "user": user,
        "lists": {
            "liked": [titles[item] for item in ratings.liked(user, 5)],
            "popular": [titles[items[ordinal]] for ordinal in arena.popular(int(user) - 1)],
            "recommended": [titles[item] + (HIT if item in relevant else "") for item in lists[user].items],
        },
    }


def _endpoint(cloud: Cloud, name: str) -> dict[str, Any]:
    sagemaker = cloud.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    variant = config["ProductionVariants"][0]
    return {
        "name": name,
        "instance_type": variant.get("InstanceType", "serverless"),
        "status": endpoint["EndpointStatus"],
    }
