"""Collect what an execution left behind: manifest, metrics, model, recommendations; and check them."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.cloud import Cloud
from demo.movielens import MovieLens
from fmrec import recordio
from fmrec.artifacts import layout
from fmrec.artifacts.manifest import Manifest
from fmrec.errors import FmrecError
from fmrec.execution.step_functions import TRAINING_LOG_GROUP, Execution, JobStarted, log_lines
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.recommendations.table import COLD_START

FM_REPOSITORY = "factorization-machines"
EPOCH_LOSS = re.compile(
    r"#quality_metric: host=\S+, epoch=(\d+), train binary_classification_cross_entropy <loss>=(\S+)"
)
HELD_OUT = 10
"""Ratings of each user, the first in the file, that the ua split holds out."""
RELEVANT = 4
"""The rating from which on a held-out film counts as liked."""
TIE = 1e-5
"""Scores nearer than this count as a tie: k-NN adds up in float32, the check in float64."""


@dataclass(frozen=True)
class Ratings:
    """The raw ratings as the demo uploaded them."""

    users: NDArray[np.str_]
    items: NDArray[np.str_]
    values: NDArray[np.float64]

    @classmethod
    def read(cls, data: MovieLens) -> Ratings:
        with data.ratings.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        users, items, values, _ = zip(*rows, strict=True)
        return cls(np.array(users), np.array(items), np.array(values, dtype=np.float64))

    def counts(self) -> Counter[str]:
        """How often each item was rated."""
        return Counter(self.items.tolist())

    def catalogue(self) -> list[str]:
        """Item ids in the order of their columns."""
        return sorted(set(self.items.tolist()), key=int)

    def seen(self) -> dict[str, set[str]]:
        """What each user rated after the first `HELD_OUT` ratings, which are the test rows."""
        found: dict[str, list[str]] = defaultdict(list)
        for user, item in zip(self.users.tolist(), self.items.tolist(), strict=True):
            found[user].append(item)
        return {user: set(items[HELD_OUT:]) for user, items in found.items()}

    def liked(self, user: str, most: int) -> list[str]:
        """Item ids that the user rated highest in train, in file order among equals."""
        mine = np.flatnonzero(self.users == user)[HELD_OUT:]
        best = mine[np.argsort(-self.values[mine], kind="stable")][:most]
        return [str(item) for item in self.items[best]]

    def held_out_liked(self, user: str) -> set[str]:
        """Item ids of the test rows that the user rated at least `RELEVANT`."""
        mine = np.flatnonzero(self.users == user)[:HELD_OUT]
        return {str(item) for item in self.items[mine[self.values[mine] >= RELEVANT]]}


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and a sentence that says if it does."""

    passed: bool
    sentence: str

    def document(self) -> dict[str, Any]:
        return {"passed": self.passed, "sentence": self.sentence}


@dataclass(frozen=True)
class Recommended:
    """One user's served list, best first."""

    items: list[str]
    scores: list[float]


def read_manifest(cloud: Cloud, bucket: str, run: str) -> Manifest:
    """The encoding's manifest."""
    return Manifest.from_json(_object(cloud, bucket, f"{layout.ENCODED}{run}/{layout.MANIFEST}"))


def read_run_report(cloud: Cloud, bucket: str, run: str) -> dict[str, Any]:
    """The report that the workflow itself wrote."""
    document: dict[str, Any] = json.loads(_object(cloud, bucket, f"{layout.RUNS}{run}/{layout.REPORT}"))
    return document


def _object(cloud: Cloud, bucket: str, key: str) -> bytes:
    body: bytes = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def fm_training_job(cloud: Cloud, jobs: list[JobStarted]) -> dict[str, Any]:
    """DescribeTrainingJob's answer for the last completed Factorization Machines job."""
    sagemaker = cloud.client("sagemaker")
    for job in reversed([job for job in jobs if job.kind == "training"]):
        answer: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=job.name)
        image = answer["AlgorithmSpecification"]["TrainingImage"]
        if FM_REPOSITORY in image and answer["TrainingJobStatus"] == "Completed":
            return answer
    raise FmrecError("the execution completed no Factorization Machines training job")


def test_metrics(job: dict[str, Any]) -> dict[str, float]:
    """``test:`` metrics of a training job, without the prefix."""
    return {
        metric["MetricName"].removeprefix("test:"): float(metric["Value"])
        for metric in job["FinalMetricDataList"]
        if metric["MetricName"].startswith("test:")
    }


def learning_curve(cloud: Cloud, job: dict[str, Any]) -> list[float]:
    """Training cross entropy after each epoch, from the job's log."""
    name = job["TrainingJobName"]
    started = JobStarted("", "training", name, TRAINING_LOG_GROUP)
    losses: dict[int, float] = {}
    for _, line in log_lines(cloud.client("logs"), started):
        match = EPOCH_LOSS.search(line)
        if match:
            losses[int(match[1])] = float(match[2])
    return [losses[epoch] for epoch in sorted(losses)]


def load_model(cloud: Cloud, job: dict[str, Any]) -> FactorizationMachine:
    """The trained model, read from its artifact."""
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tar.gz"
        cloud.client("s3").download_file(bucket, key, str(path))
        return FactorizationMachine.load(path)


def served(cloud: Cloud, table: str) -> dict[str, Recommended]:
    """Every user's recommendations as DynamoDB serves them; the lists for cold-start users are not
    any user's.
    """
    found: dict[str, Recommended] = {}
    for page in cloud.client("dynamodb").get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            if item["user_id"]["S"].startswith(COLD_START):
                continue
            entries = [entry["M"] for entry in item["recommendations"]["L"]]
            found[item["user_id"]["S"]] = Recommended(
                [entry["item_id"]["S"] for entry in entries],
                [float(entry["score"]["N"]) for entry in entries],
            )
    return found


def exported(cloud: Cloud, bucket: str, run: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The vectors that a run has exported, of users and of items, each (rows, dim)."""
    s3 = cloud.client("s3")
    found = []
    for kind in (layout.QUERIES, layout.ITEMS):
        prefix = f"{layout.EMBEDDINGS}{run}/{kind}"
        stored = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        parts = [s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in stored]
        found.append(np.vstack([recordio.decode(part)[0] for part in parts]))
    return found[0], found[1]


def brute_force_check(
    model: FactorizationMachine,
    vectors: tuple[NDArray[Any], NDArray[Any]],
    manifest: Manifest,
    ratings: Ratings,
    served_lists: dict[str, Recommended],
) -> Check:
    """Compare every served list with the scores of every unseen item, ties aside, and the vectors that score
    with the model; co-occurrence has added further dimensions to them.
    """
    queries, items = (side.astype(np.float64) for side in vectors)
    own, weights = slice(0, model.num_factors), model.linear[slice(*manifest.ranges["item"])]
    if not (
        np.array_equal(np.vstack([queries, items])[:, own], model.factors[: len(queries) + len(items)])
        and np.array_equal(items[:, -1], weights)
    ):
        return Check(False, "the exported vectors are not those of the trained model")
    scores = queries @ items.T
    ordinal = {item: n for n, item in enumerate(ratings.catalogue())}
    seen = ratings.seen()
    wrong = []
    for user, recommended in served_lists.items():
        row = scores[int(user) - 1]
        ours = row[[ordinal[item] for item in recommended.items]]
        row[[ordinal[item] for item in seen[user]]] = -np.inf
        best = -np.sort(-row)[: len(recommended.items)]
        if len(set(recommended.items)) != len(recommended.items) or not np.allclose(
            ours, best, rtol=0, atol=TIE
        ):
            wrong.append(user)
    if wrong:
        return Check(False, f"{len(wrong)} users' lists differ from brute-force scoring, first {wrong[:5]}")
    return Check(
        True,
        f"all {len(served_lists)} users' lists equal brute-force scoring of every film they haven't seen, of "
        f"{manifest.items}, best first",
    )


def nothing_seen_check(ratings: Ratings, served_lists: dict[str, Recommended]) -> Check:
    """Look for recommended items that a user's training ratings hold already."""
    seen = ratings.seen()
    again = {user: met for user, listed in served_lists.items() if (met := seen[user] & set(listed.items))}
    if again:
        return Check(
            False, f"{len(again)} users are recommended what they have seen, first {list(again)[:5]}"
        )
    return Check(True, f"no recommended film is in its user's history, for all {len(served_lists)} users")


def instances(workflow_report: dict[str, Any]) -> list[dict[str, Any]]:
    """What each step ran on, why, and which smaller types of that family were passed over or refused."""
    steps = workflow_report["plan"]["steps"]
    refused = workflow_report["refusals"]
    rows = []
    for step, chosen in workflow_report["chosen"].items():
        family, _, size = chosen["instance_type"].rpartition(".")
        passed_over = [
            rejected["why"]
            for rejected in steps[step]["rejected"]
            if rejected["instance_type"].startswith(f"{family}.")
            and _size_order(rejected["instance_type"]) < _size_order(size)
        ]
        rows.append(
            {
                "step": step,
                "instance_type": chosen["instance_type"],
                "why": chosen["why"],
                "passed_over": passed_over,
                "refused": [refusal for refusal in refused if refusal.get("step") == step],
            }
        )
    return rows


def _size_order(instance_type: str) -> int:
    """Order the sizes within a family: large, xlarge, 2xlarge, 12xlarge."""
    size = instance_type.rpartition(".")[2]
    number = size.removesuffix("xlarge")
    return int(number) if number.isdigit() else ("medium", "large", "xlarge").index(size) - 1


def state_seconds(execution: Execution) -> list[tuple[str, float, float]]:
    """(state, seconds from the start, seconds it took); visits of a Map's inner states become one row."""
    rows: dict[str, tuple[float, float]] = {}
    visits: dict[str, int] = defaultdict(int)
    for run in execution.states:
        if run.seconds is None or run.type in ("Pass", "Choice", "Succeed", "Fail"):
            continue
        start = (run.entered - execution.started).total_seconds()
        first, end = rows.get(run.name, (start, start))
        rows[run.name] = (min(first, start), max(end, start + run.seconds))
        visits[run.name] += 1
    return [
        (f"{name} ({visits[name]}×)" if visits[name] > 1 else name, first, end - first)
        for name, (first, end) in rows.items()
    ]
