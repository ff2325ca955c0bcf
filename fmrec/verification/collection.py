"""What the two runs left behind: jobs and their estimates, reports, and figures read from their output."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fmrec.artifacts import layout
from fmrec.artifacts.embedded_run import open_run
from fmrec.artifacts.manifest import Manifest
from fmrec.errors import FormatError
from fmrec.execution import run_report
from fmrec.instances import costs
from fmrec.instances.catalogue import catalogue
from fmrec.instances.plan import plan
from fmrec.instances.policy import Policy
from fmrec.model import mxnet_params
from fmrec.model.artifact import MODEL_FILE
from fmrec.storage import object_store
from fmrec.verification.deployment import Deployment
from fmrec.verification.evidence import Evidence, Job

GIB = 1 << 30
KINDS = {
    "fm_training": "training",
    "knn_training": "training",
    "batch_transform": "transform",
    "fm_transform": "transform",
}
NAMESPACES = {"training": "/aws/sagemaker/TrainingJobs", "transform": "/aws/sagemaker/TransformJobs"}
PUBLISH = "Publish the recommendations"
"""The state that starts a function for each part of the users; MovieLens 100k has one part."""
FACTORS = "arg:v"
RECOMMEND = "recommend"


def collect(deployment: Deployment, evidence: Evidence) -> None:
    """Read the reports of the runs and put their jobs and figures into the evidence."""
    for task in deployment.runs:
        report = json.loads(object_store.read_bytes(deployment.of_run(task, layout.RUNS, layout.REPORT)))
        evidence.reports[task] = report
        evidence.jobs += _jobs(deployment, task, report)


def _jobs(deployment: Deployment, task: str, report: dict[str, Any]) -> list[Job]:
    record = json.loads(
        object_store.read_bytes(deployment.of_run(task, layout.EVALUATIONS, layout.MODEL_RECORD))
    )
    manifest = Manifest.from_json(
        object_store.read_bytes(deployment.of_run(task, layout.ENCODED, layout.MANIFEST))
    )
    planned = plan(manifest, record["hyperparameters"], record["serving"], Policy(), task=task)
    spent = run_report.spent(report["chosen"], report["jobs"])["steps"]
    types = {offer.name: offer for offer in catalogue()}
    found = []
    for step, kind in KINDS.items():
        if step not in spent:
            continue
        chosen = spent[step]["instance_type"]
        name = report["jobs"][step]["name"]
        terms = planned["steps"][step]["needs"]["memory"]
        offered = types.get(chosen)
        workers = offered.vcpu if offered else 1
        memory = sum(term["bytes"] for term in terms["terms"] + terms["fixed_terms"])
        memory += workers * sum(term["bytes"] for term in terms["per_worker_terms"])
        hours = planned["cost"]["run"]["items"].get(step, {}).get("hours")
        percent = _peak(deployment, kind, name)
        found.append(
            Job(
                task, step, kind, name, chosen, spent[step]["seconds"],
                None if percent is None or offered is None else percent / 100 * offered.memory_gib,
                memory / GIB, None if hours is None else hours * 3600,
            )
        )  # fmt: skip
    glue = planned["cost"]["run"]["items"].get("glue", {}).get("hours")
    if report["jobs"].get("encoding"):
        job = report["jobs"]["encoding"]
        seconds = None if job.get("seconds") is None else float(job["seconds"])
        found.append(
            Job(
                task,
                "encoding",
                "glue",
                job["name"],
                "G.1X",
                seconds,
                None,
                None,
                None if glue is None else glue * 3600,
            )
        )
    return found


def _peak(deployment: Deployment, kind: str, name: str) -> float | None:
    """The highest MemoryUtilization, in per cent, of a job's first host."""
    end = datetime.now(UTC)
    cloudwatch = deployment.client("cloudwatch")
    listed = cloudwatch.list_metrics(Namespace=NAMESPACES[kind], MetricName="MemoryUtilization")["Metrics"]
    hosts = [
        metric["Dimensions"]
        for metric in listed
        if any(name in dimension["Value"] for dimension in metric["Dimensions"])
    ]
    peaks = []
    for dimensions in hosts:
        points = cloudwatch.get_metric_statistics(
            Namespace=NAMESPACES[kind],
            MetricName="MemoryUtilization",
            Dimensions=dimensions,
            StartTime=end - timedelta(hours=12),
            EndTime=end + timedelta(minutes=5),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        peaks += [point["Maximum"] for point in points]
    return max(peaks) if peaks else None


def users_per_second(deployment: Deployment, evidence: Evidence) -> dict[str, float]:
    """The rate at which the functions that publish wrote users' lists, one after the other, and the
    estimate.
    """
    users = evidence.reports["recommend"]["published"]["users"]
    seconds = sum(
        state.seconds or 0.0 for state in deployment.executions["recommend"].states if state.name == PUBLISH
    )
    if not seconds:
        raise FormatError(f"the execution's history has no state {PUBLISH!r} that took time")
    return {"rate": users / seconds, "planned": float(costs.LAMBDA_USERS_PER_SECOND)}


def artifact_storage(deployment: Deployment, evidence: Evidence) -> str:
    """How the FM artifact stores its factors."""
    report = evidence.reports["recommend"]
    archive = object_store.read_bytes(report["model_uri"])
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and member.name.removeprefix("./") == MODEL_FILE:
                with zipfile.ZipFile(io.BytesIO(content.read())) as model:
                    return mxnet_params.storage_types(model.read("params"))[FACTORS]
    raise FormatError(f"{report['model_uri']} holds no {MODEL_FILE}")


def neighbour_order(deployment: Deployment, _evidence: Evidence) -> str:
    """How k-NN's output of the first queries is ordered, and whether its best is the exact best."""
    folder = deployment.of_run(RECOMMEND, layout.NEIGHBOURS)
    part = sorted(entry.uri for entry in object_store.list_objects(folder))[0]
    text = object_store.read_bytes(part).decode()
    lines = [json.loads(line) for line in text.splitlines() if line.strip()][:100]
    ascending = all(line["distances"] == sorted(line["distances"]) for line in lines)
    embedded = open_run(
        deployment.of_run(RECOMMEND, layout.ENCODED, layout.MANIFEST),
        deployment.of_run(RECOMMEND, layout.EMBEDDINGS, layout.EMBEDDINGS_DOCUMENT),
    )
    queries = embedded.query_vectors(embedded.query_part(0))[: len(lines)]
    items = embedded.item_vectors()
    best = np.argmax(queries @ items.T, axis=1)
    last = np.array([line["labels"][-1] for line in lines])
    share = float(np.mean(best == last))
    order = "ascending" if ascending else "not ascending"
    return f"{order}, best last" if share > 0.99 else f"{order}, the exact best is last for {share:.0%}"
