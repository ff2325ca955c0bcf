"""The points that the documentation marks as unconfirmed, and how a run on a real account settles each.

Every point is judged from `Evidence` alone, so that the same evidence always gives the same verdict. A
refuted point is a finding about AWS or an estimate to mend; it doesn't make the verification fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fmrec.artifacts import layout
from fmrec.instances.quota_increases import parse_refusal
from fmrec.verification.evidence import Evidence, Verdict, not_settled, settle

TIME_FACTOR = 2.0
"""An estimated duration is confirmed if what was billed lies within this factor of it."""

Judge = Callable[[Evidence], Verdict]


@dataclass(frozen=True)
class Point:
    """One statement that no account has confirmed yet.

    Parameters
    ----------
    documented : str
        Where it stands: a document and its section.
    """

    name: str
    statement: str
    expected: str
    documented: str
    judge: Judge


def _memory(task: str, step: str) -> Judge:
    def judge(evidence: Evidence) -> Verdict:
        job = evidence.job(task, step)
        if job is None:
            return not_settled(f"the {task} run took no step {step}")
        if job.memory_gib is None or job.planned_memory_gib is None:
            return not_settled(f"CloudWatch has no memory metric of the job {job.name}")
        return settle(
            job.memory_gib <= job.planned_memory_gib,
            f"{job.memory_gib:.2f} GiB on {job.instance_type}; estimated {job.planned_memory_gib:.2f} GiB",
        )

    return judge


def _seconds(task: str, step: str) -> Judge:
    def judge(evidence: Evidence) -> Verdict:
        job = evidence.job(task, step)
        if job is None:
            return not_settled(f"the {task} run took no step {step}")
        if job.seconds is None or job.planned_seconds is None:
            return not_settled(f"nothing says how long the job {job.name} was billed for")
        ratio = job.seconds / max(job.planned_seconds, 1e-9)
        return settle(
            1 / TIME_FACTOR <= ratio <= TIME_FACTOR,
            f"{job.seconds:.0f} s billed on {job.instance_type}; estimated {job.planned_seconds:.0f} s",
        )

    return judge


def _equals(probe: str, expected: Any, words: str) -> Judge:
    """Judge a probe whose answer must be ``expected``; ``words`` says what the answer is, with {}."""

    def judge(evidence: Evidence) -> Verdict:
        answer = evidence.answer(probe)
        if answer.unanswered is not None:
            return not_settled(answer.unanswered)
        return settle(answer.value == expected, words.format(answer.value))

    return judge


def _contains(probe: str, expected: str) -> Judge:
    def judge(evidence: Evidence) -> Verdict:
        answer = evidence.answer(probe)
        if answer.unanswered is not None:
            return not_settled(answer.unanswered)
        return settle(expected in str(answer.value), f"the message is {answer.value!r}")

    return judge


def _refusal_text(evidence: Evidence) -> Verdict:
    answer = evidence.answer("refusal")
    if answer.unanswered is not None:
        return not_settled(answer.unanswered)
    refusal = parse_refusal(answer.value["cause"])
    if refusal is None:
        return settle(False, f"the text is not read: {answer.value['cause']!r}")
    return settle(
        refusal.quota == answer.value["quota"],
        f"it names the quota {refusal.quota!r}, limit {refusal.limit:g}",
    )


def _refusal_error(evidence: Evidence) -> Verdict:
    answer = evidence.answer("refusal")
    if answer.unanswered is not None:
        return not_settled(answer.unanswered)
    error = answer.value["error"]
    return settle(error == "SageMaker.ResourceLimitExceededException", f"the error is {error}")


def _registered(evidence: Evidence) -> Verdict:
    reports = evidence.reports
    if not reports:
        return not_settled("no run ended well")
    groups = ", ".join(
        f"{r['model_package']['group']} version {r['model_package']['version']}" for r in reports.values()
    )
    return settle(True, f"registered with the deployed role: {groups}")


def _publishing_rate(evidence: Evidence) -> Verdict:
    answer = evidence.answer("users_per_second")
    if answer.unanswered is not None:
        return not_settled(answer.unanswered)
    return settle(
        answer.value["rate"] >= answer.value["planned"], f"{answer.value['rate']:.0f} users a second"
    )


def _elsewhere(why: str) -> Judge:
    return lambda _evidence: not_settled(why)


INSTANCES = "docs/instances.md"
QUALITY = "docs/quality.md"
POINTS: tuple[Point, ...] = (
    Point("fm-training-memory", "The FM container needs no more memory than estimated", "at most the estimate without its safety factor", f"{INSTANCES}, Memory: FM training", _memory("recommend", "fm_training")),
    Point("knn-training-memory", "The k-NN container needs no more memory than estimated", "at most the estimate without its safety factor", f"{INSTANCES}, Memory: k-NN training", _memory("recommend", "knn_training")),
    Point("transform-memory", "Batch transform with k-NN needs no more memory than estimated", "at most the estimate without its safety factor", f"{INSTANCES}, Memory: batch transform", _memory("recommend", "batch_transform")),
    Point("fm-transform-memory", "Batch transform with FM needs no more memory than estimated", "at most the estimate without its safety factor", f"{INSTANCES}, Memory: FM transform", _memory("predict-rating", "fm_transform")),
    Point("fm-training-seconds", "FM training is billed as long as estimated", "within a factor of 2", f"{INSTANCES}, Cost: FM training", _seconds("recommend", "fm_training")),
    Point("knn-training-seconds", "k-NN training is billed as long as estimated", "within a factor of 2", f"{INSTANCES}, Cost: k-NN training", _seconds("recommend", "knn_training")),
    Point("transform-seconds", "Batch transform with k-NN is billed as long as estimated", "within a factor of 2", f"{INSTANCES}, Cost: batch transform", _seconds("recommend", "batch_transform")),
    Point("fm-transform-seconds", "Batch transform with FM is billed as long as estimated", "within a factor of 2", f"{INSTANCES}, Cost: FM transform", _seconds("predict-rating", "fm_transform")),
    Point("glue-seconds", "The Glue run takes as long as estimated", "within a factor of 2", f"{INSTANCES}, Cost: Glue", _seconds("recommend", "encoding")),
    Point("publishing-rate", "One function exports and publishes as many users a second as estimated", "at least the estimate", f"{INSTANCES}, Cost: Lambda", _publishing_rate),
    Point("fm-artifact", "The FM artifact's parameters are row_sparse arrays that the reader takes", "row_sparse", f"docs/contracts.md, {layout.MODELS}", _equals("artifact_storage", "row_sparse", "the factors are stored as {}")),
    Point("knn-order", "k-NN's distances ascend and the best match is last", "ascending, last item = highest inner product", f"docs/contracts.md, {layout.NEIGHBOURS}", _equals("neighbour_order", "ascending, best last", "{}")),
    Point("transform-blank-lines", "Batch transform's output of JSON lines has no blank lines", "none", f"docs/contracts.md, {layout.SCORES}", _equals("blank_lines", 0, "{} blank lines")),
    Point("refusal-error", "A quota refusal reaches the workflow under the name that it catches", "SageMaker.ResourceLimitExceededException", "docs/workflow.md, How a run fails", _refusal_error),
    Point("refusal-text", "A quota refusal's text names the quota as Service Quotas spells it", "the quota's name is read from the text", f"{INSTANCES}, Reading the account", _refusal_text),
    Point("sdk-error", "An SDK integration's unmodelled error has the service's base class", "SageMaker.SageMakerException", "docs/workflow.md, How a run fails", _equals("sdk_error", "SageMaker.SageMakerException", "the error is {}")),
    Point("client-token", "CreateModelPackage with the same ClientToken makes one version", "the same ARN twice", "docs/contracts.md, SageMaker Model Registry", _equals("client_token", True, "same ARN for the same token: {}")),
    Point("registry-missing", "A missing model package group is recognised by the words of the error", "does not exist", "docs/contracts.md, SageMaker Model Registry", _contains("registry_missing", "does not exist")),
    Point("registry-exists", "An existing model package group is recognised by the words of the error", "already exists", "docs/contracts.md, SageMaker Model Registry", _contains("registry_exists", "already exists")),
    Point("registry-permissions", "The register function's role has all permissions that CreateModelPackage checks", "a version is registered", "docs/contracts.md, SageMaker Model Registry", _registered),
    Point("transform-prices", "The Pricing API lists no batch transform rate, so that hosting's stands in", "no rate of its own", f"{INSTANCES}, Reading the account", _equals("transform_price", None, "batch transform rate listed: {}")),
    Point("fastfile", "The FM image trains with FastFile", "Completed", f"{INSTANCES}, Policy: input_mode", _equals("fastfile", "Completed", "the job ended {}")),
    Point("newer-family", "The FM image trains on a newer family", "Completed", f"{INSTANCES}, Policy: families", _equals("newer_family", "Completed", "the job ended {}")),
    Point("few-rows", "The FM image trains on fewer rows than mini_batch_size", "Completed", "docs/workflow.md, How a run fails", _equals("few_rows", "Completed", "the job ended {}")),
    Point("jsonlines", "The FM endpoint takes JSON Lines", "one answer per line", f"{QUALITY}, Yes or no, and how sure", _equals("jsonlines", True, "one answer per line: {}")),
    Point("update-headroom", "An endpoint update counts both fleets against the quota", "refused without room for a second fleet", f"{INSTANCES}, The rules", _elsewhere("it takes an account whose endpoint quota is exactly one fleet, which this run doesn't arrange")),
    Point("eusc-console", "The aws-eusc partition's console address", "console.amazonaws-eusc.eu", f"{INSTANCES}, Reading the account", _elsewhere("it can be seen from that partition only")),
)  # fmt: skip
