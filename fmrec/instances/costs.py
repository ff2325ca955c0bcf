"""What one run and one month would cost: every amount with hours, rate and the basis of both.

Instance rates come from ``Prices``. The other services' rates are us-east-1's, dated in
``OTHER_RATES_SOURCE``. Durations can't be known before a run; each one says what it was reckoned
from. Log storage, KMS requests, data transfer and NAT are left out: they are small here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fmrec.deployment.trials import TRAININGS
from fmrec.instances import memory, serverless_choice
from fmrec.instances.catalogue import Prices
from fmrec.instances.chooser import Candidate, Choice
from fmrec.instances.workloads import DEFAULT_EPOCHS, DEFAULT_RECOMMENDATIONS, Request, Workload, number

HOURS_PER_MONTH = 730
OTHER_RATES_SOURCE = "us-east-1 rates of Glue, Lambda, DynamoDB, S3 and Step Functions, 2025-06 to 2026-10"

FM_RECORDS_PER_SECOND = 100_000
"""One CPU instance at 64 factors and two non-zeros; AWS's log of such a job says 105,658."""
FM_REFERENCE_VALUES = 64 * 2
JOB_OVERHEAD_SECONDS = 120
"""Billed start and end of a SageMaker job in addition to its work; not confirmed."""
DOWNLOAD_BYTES_PER_SECOND = 90e6
"""A *.large's baseline of 0.75 Gbit a second."""
KNN_PRODUCTS_PER_SECOND = 1e10
"""Multiply-adds of an exact search on one vCPU: half of what faiss does on one core here (2.2e10)."""
REPLY_BYTES_PER_SECOND = 20e6
"""JSON text that one instance writes; not confirmed."""
EVALUATION_FACTOR = 1.5
"""Ranking and masking in addition to the matrix products."""
GLUE_ROWS_PER_SECOND = 100_000
"""Rows that four vCPUs encode, all passes together; not confirmed. Two cores here encode 240,000."""
GLUE_OVERHEAD_SECONDS = 90
GLUE_USD_PER_DPU_HOUR = 0.308
GLUE_USD_PER_MEMORY_DPU_HOUR = 0.364
"""Of R workers."""
LAMBDA_GB = 2
LAMBDA_USERS_PER_SECOND = 2_000
"""Users exported and published by one function a second; not confirmed."""
LAMBDA_PAIRS_PER_SECOND = 200_000
"""Held-out pairs read twice, judged and written by one function a second, as measured on one core."""
LAMBDA_USD_PER_GB_SECOND = 0.0000166667
DYNAMODB_USD_PER_WRITE = 0.625e-6
DYNAMODB_USD_PER_GB_MONTH = 0.25
DYNAMODB_ITEM_BYTES = 200
DYNAMODB_RECOMMENDATION_BYTES = 60
S3_USD_PER_GB_MONTH = 0.023
S3_USD_PER_PUT = 0.005e-3
S3_PUTS = 1_000
TRANSITIONS = 200
STEP_FUNCTIONS_USD_PER_TRANSITION = 0.000025
VOLUME_USD_PER_GB_MONTH = 0.14


@dataclass(frozen=True)
class Line:
    """One item of the bill; ``amount`` is None when a rate is unknown: never zero."""

    amount: float | None
    basis: str
    hours: float | None = None
    instance_type: str | None = None
    instance_count: int | None = None

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"amount": None if self.amount is None else round(self.amount, 6)}
        if self.instance_type is not None:
            document |= {"instance_type": self.instance_type, "instance_count": self.instance_count}
        if self.hours is not None:
            document["hours"] = round(self.hours, 4)
        return document | {"basis": self.basis}


def estimate(
    request: Request, chosen: Mapping[str, tuple[Workload, Choice]], prices: Prices
) -> dict[str, Any]:
    """Return what the first candidates would cost.

    Parameters
    ----------
    chosen
        Step → workload and choice, of the steps that the run takes.

    Returns
    -------
    dict
        ``currency``, ``prices``, and ``run`` and ``month``, each with ``items`` and their
        ``total``; ``complete`` is false when an item's amount is unknown, and the total lacks it.
    """
    run: dict[str, Line] = {"glue": _glue(request)}
    month: dict[str, Line] = {}
    for step, (work, choice) in chosen.items():
        if work.call == "hosting":
            month[step] = _endpoint(work, choice, prices)
        else:
            run[step] = _job(request, work, choice, prices)
    lists = "batch_transform" in chosen
    if {"fm_tuning", "fm_trials"} & set(chosen):
        run["glue_validation"] = _glue(replace(request, ensemble=1))
    run |= _run_services(request, lists=lists)
    month |= _month_services(request, lists=lists)
    if prices.currency != "USD":
        run, month = (
            {name: _unknown_in(line, prices.currency) for name, line in lines.items()}
            for lines in (run, month)
        )
    return {
        "currency": prices.currency,
        "prices": {
            "instances": prices.source,
            "others": OTHER_RATES_SOURCE,
            "notes": list(prices.notes),
        },
        "run": _bill(run),
        "month": _bill(month),
    }


def _bill(lines: Mapping[str, Line]) -> dict[str, Any]:
    amounts = [line.amount for line in lines.values()]
    return {
        "total": round(sum(amount for amount in amounts if amount is not None), 4),
        "complete": None not in amounts,
        "items": {name: line.to_json() for name, line in lines.items()},
    }


def _unknown_in(line: Line, currency: str) -> Line:
    if line.instance_type is not None:
        return line
    return Line(None, f"the rate is known in USD only, not in {currency}", line.hours)


def _job(request: Request, work: Workload, choice: Choice, prices: Prices) -> Line:
    seconds, basis = _DURATIONS[work.step](request, work)
    hours = seconds / 3600
    if not choice.candidates:
        return Line(None, "no candidate", hours)
    first = choice.candidates[0]
    basis = f"{basis}; {_rate(first, work, prices)}"
    amount = None
    if first.usd_per_hour is not None:
        amount = first.usd_per_hour * hours
        if first.volume_size_gb is not None and prices.currency == "USD":
            gb_hours = first.volume_size_gb * work.instances * hours
            amount += gb_hours / HOURS_PER_MONTH * VOLUME_USD_PER_GB_MONTH
            basis += f"; volume {first.volume_size_gb} GB at {VOLUME_USD_PER_GB_MONTH} USD per GB-month"
    if work.spot:
        basis += "; on demand, managed spot is less"
    return Line(amount, basis, hours, first.instance_type, work.instances)


def _rate(first: Candidate, work: Workload, prices: Prices) -> str:
    count = f"{work.instances} x {first.instance_type}"
    if first.usd_per_hour is None:
        return f"{count}, price unknown"
    return f"{count} at {first.usd_per_hour:g} {prices.currency} an hour in all"


def _endpoint(work: Workload, choice: Choice, prices: Prices) -> Line:
    if not choice.candidates:
        return Line(None, "no candidate", HOURS_PER_MONTH)
    first = choice.candidates[0]
    if first.memory_mb is not None:
        basis = f"nothing while nobody calls; {serverless_choice.price(first.memory_mb)}"
        return Line(0.0, basis, instance_type=first.instance_type, instance_count=0)
    return Line(
        None if first.usd_per_hour is None else first.usd_per_hour * HOURS_PER_MONTH,
        f"{HOURS_PER_MONTH} hours; {_rate(first, work, prices)}",
        HOURS_PER_MONTH,
        first.instance_type,
        first.instance_count,
    )


def training_seconds(request: Request, work: Workload) -> tuple[float, float]:
    """How long one factorization machine's job works, and starts, ends and downloads."""
    sizes, policy = request.sizes, request.policy
    hosts = _hosts(request, work)
    rows = sizes.rows * _epochs(request) / hosts
    download = 0.0
    if policy.input_mode == "File":
        download = (sizes.train_bytes / hosts + sizes.test_bytes) / DOWNLOAD_BYTES_PER_SECOND
    return rows * _weight(request) / FM_RECORDS_PER_SECOND, download + JOB_OVERHEAD_SECONDS


def _hosts(request: Request, work: Workload) -> int:
    """Instances that share the rows."""
    return work.instance_count if request.policy.data_distribution == "ShardedByS3Key" else 1


def _epochs(request: Request) -> int:
    return number(request.hyperparameters, "epochs", DEFAULT_EPOCHS)


def _weight(request: Request) -> float:
    return max(1.0, request.num_factors * request.sizes.nnz_per_row / FM_REFERENCE_VALUES)


def _fm_training_seconds(request: Request, work: Workload) -> tuple[float, str]:
    sizes, weight, hosts = request.sizes, _weight(request), _hosts(request, work)
    training, fixed = training_seconds(request, work)
    # What is paid for is each job's own time, also when the last of them runs alone.
    rounds = request.ensemble / work.parallel_jobs if work.step == "fm_training" else 1.0
    basis = (
        f"{sizes.rows:,} rows * {_epochs(request)} epochs"
        + (f" / {hosts} hosts" if hosts > 1 else "")
        + (
            f" * {weight:.2g} (num_factors {request.num_factors}, {sizes.nnz_per_row:g} non-zeros)"
            if weight > 1
            else ""
        )
        + f" / {FM_RECORDS_PER_SECOND:,} records a second = {training:.0f} s"
        + f" + download {fixed - JOB_OVERHEAD_SECONDS:.0f} s + start and end {JOB_OVERHEAD_SECONDS} s"
        + (
            f", {request.ensemble} models, {work.parallel_jobs} at the same time"
            if request.ensemble > 1 and work.step == "fm_training"
            else ""
        )
    )
    return (training + fixed) * rounds, basis


def _knn_training_seconds(request: Request, work: Workload) -> tuple[float, str]:
    size = request.sizes.items * memory.dense_record_bytes(request.dimension)
    download = size / DOWNLOAD_BYTES_PER_SECOND
    basis = (
        f"{request.sizes.items:,} items, {size:,} bytes: download {download:.0f} s "
        f"+ start and end {JOB_OVERHEAD_SECONDS} s (an exact index is only copied)"
    )
    return download + JOB_OVERHEAD_SECONDS, basis


def _batch_transform_seconds(request: Request, work: Workload) -> tuple[float, str]:
    sizes, dimension, neighbours = request.sizes, request.dimension, request.neighbours
    products = sizes.users * sizes.items * dimension / KNN_PRODUCTS_PER_SECOND
    text = sizes.users * neighbours * memory.REPLY_BYTES_PER_NEIGHBOUR / REPLY_BYTES_PER_SECOND
    work_seconds = (products + text) / work.instance_count
    basis = (
        f"{sizes.users:,} users * {sizes.items:,} items * {dimension} dimensions / "
        f"{KNN_PRODUCTS_PER_SECOND:,.0f} a second = {products:.0f} s + replies of {neighbours} neighbours * "
        f"{memory.REPLY_BYTES_PER_NEIGHBOUR} bytes / {REPLY_BYTES_PER_SECOND / 1e6:.0f} MB a second = {text:.0f} s"
        + (f", on {work.instance_count} instances" if work.instance_count > 1 else "")
        + f" + start and end {JOB_OVERHEAD_SECONDS} s"
    )
    return work_seconds + JOB_OVERHEAD_SECONDS, basis


def _fm_transform_seconds(request: Request, work: Workload) -> tuple[float, str]:
    rows, count = request.sizes.test_rows, work.instance_count
    weight = max(1.0, request.num_factors * request.sizes.nnz_per_row / FM_REFERENCE_VALUES)
    scoring = rows * weight / FM_RECORDS_PER_SECOND / count
    text = rows * memory.REPLY_BYTES_PER_SCORE / REPLY_BYTES_PER_SECOND / count
    basis = (
        f"{rows:,} held-out rows"
        + (f" * {weight:.2g}" if weight > 1 else "")
        + f" / {FM_RECORDS_PER_SECOND:,} records a second = {scoring:.0f} s + replies of "
        f"{memory.REPLY_BYTES_PER_SCORE} bytes / {REPLY_BYTES_PER_SECOND / 1e6:.0f} MB a second = {text:.0f} s"
        + (f", on {count} instances" if count > 1 else "")
        + f" + start and end {JOB_OVERHEAD_SECONDS} s"
    )
    return scoring + text + JOB_OVERHEAD_SECONDS, basis


def _fm_tuning_seconds(request: Request, work: Workload) -> tuple[float, str]:
    one, basis = _fm_training_seconds(request, work)
    rounds = math.ceil(request.maximum_jobs / work.parallel_jobs)
    return one * rounds, (
        f"{request.maximum_jobs} jobs, {work.parallel_jobs} at the same time: {rounds} * ({basis}); early "
        "stopping makes it less"
    )


def _fm_trials_seconds(request: Request, work: Workload) -> tuple[float, str]:
    one, basis = _fm_training_seconds(request, work)
    return TRAININGS * one, (
        f"at most {TRAININGS:g} * ({basis}) = {TRAININGS * one / 60:.0f} minutes, {work.parallel_jobs} trials at the "
        "same time"
    )


def _evaluation_seconds(request: Request, work: Workload) -> tuple[float, str]:
    sizes, dimension = request.sizes, request.dimension
    products = sizes.users * sizes.items * dimension / KNN_PRODUCTS_PER_SECOND
    size = sizes.train_bytes + sizes.test_bytes + 4 * request.parameters
    download = size / DOWNLOAD_BYTES_PER_SECOND
    basis = (
        f"{sizes.users:,} users * {sizes.items:,} items * {dimension} dimensions / "
        f"{KNN_PRODUCTS_PER_SECOND:,.0f} a second * {EVALUATION_FACTOR} for ranking = "
        f"{products * EVALUATION_FACTOR:.0f} s + download {download:.0f} s + start and end {JOB_OVERHEAD_SECONDS} s"
    )
    return products * EVALUATION_FACTOR + download + JOB_OVERHEAD_SECONDS, basis


_DURATIONS: dict[str, Callable[[Request, Workload], tuple[float, str]]] = {
    "fm_training": _fm_training_seconds,
    "knn_training": _knn_training_seconds,
    "batch_transform": _batch_transform_seconds,
    "fm_transform": _fm_transform_seconds,
    "fm_tuning": _fm_tuning_seconds,
    "fm_trials": _fm_trials_seconds,
    "evaluation": _evaluation_seconds,
}


def _glue(request: Request) -> Line:
    # Each model of an ensemble has rows of its own.
    rows = request.sizes.rows * request.ensemble + request.sizes.test_rows
    glue = request.glue
    speed, units = GLUE_ROWS_PER_SECOND * glue.units, glue.workers * glue.units
    rate = GLUE_USD_PER_MEMORY_DPU_HOUR if glue.more_memory else GLUE_USD_PER_DPU_HOUR
    seconds = GLUE_OVERHEAD_SECONDS + rows / (speed * (glue.workers - 1))
    hours = max(60.0, seconds) / 3600
    return Line(
        units * hours * rate,
        f"start {GLUE_OVERHEAD_SECONDS} s + {rows:,} rows / ({speed:,} a second * "
        f"{glue.workers - 1} workers next to the driver) = {seconds:.0f} s; {glue.workers} x {glue.worker_type} "
        f"({glue.units} DPU) at {rate} USD a DPU-hour (Glue 6.0 standard)",
        hours,
    )


def _run_services(request: Request, *, lists: bool) -> dict[str, Line]:
    """Services other than the instances; `lists`: of a run that publishes, not of one that scores pairs."""
    count = request.sizes.users if lists else request.sizes.test_rows
    what, speed = ("users", LAMBDA_USERS_PER_SECOND) if lists else ("pairs", LAMBDA_PAIRS_PER_SECOND)
    lines = {
        "lambda": Line(
            (count / speed + 10) * LAMBDA_GB * LAMBDA_USD_PER_GB_SECOND,
            f"{count:,} {what} / {speed:,} a second + 10 s, {LAMBDA_GB} GB at "
            f"{LAMBDA_USD_PER_GB_SECOND:.10f} USD a GB-second",
        )
    }
    if lists:
        item = _item_bytes(request)
        units = count * math.ceil(item / 1024)
        lines["dynamodb_writes"] = Line(
            units * DYNAMODB_USD_PER_WRITE,
            f"{count:,} users * {math.ceil(item / 1024)} write units of 1 KB (item about {item:,} bytes) at "
            f"{DYNAMODB_USD_PER_WRITE * 1e6:g} USD a million",
        )
    return lines | {
        "s3_requests": Line(
            S3_PUTS * S3_USD_PER_PUT,
            f"about {S3_PUTS:,} PUT and LIST at {S3_USD_PER_PUT * 1000:g} USD a thousand",
        ),
        "step_functions": Line(
            TRANSITIONS * STEP_FUNCTIONS_USD_PER_TRANSITION,
            f"about {TRANSITIONS} transitions at {STEP_FUNCTIONS_USD_PER_TRANSITION:.6f} USD",
        ),
    }


def _month_services(request: Request, *, lists: bool) -> dict[str, Line]:
    """Storage; `lists` as in `_run_services`."""
    sizes = request.sizes
    lines = {}
    if lists:
        table = sizes.users * _item_bytes(request)
        lines["dynamodb_storage"] = Line(
            table / memory.GB * DYNAMODB_USD_PER_GB_MONTH,
            f"{table / memory.GB:.3f} GB at {DYNAMODB_USD_PER_GB_MONTH} USD per GB-month; reads come on top",
        )
        vectors = (sizes.users + sizes.items) * memory.dense_record_bytes(request.dimension)
        own = vectors + sizes.users * request.neighbours * memory.REPLY_BYTES_PER_NEIGHBOUR
        files = "encoded rows, vectors, neighbours, models"
    else:
        own = sizes.test_rows * memory.REPLY_BYTES_PER_SCORE
        files = "encoded rows, scores, models"
    of_models = request.ensemble * (sizes.train_bytes + 4 * request.parameters)
    stored = of_models + sizes.test_bytes + own
    lines["s3_storage"] = Line(
        stored / memory.GB * S3_USD_PER_GB_MONTH,
        f"one run's files: {stored / memory.GB:.3f} GB ({files}) at {S3_USD_PER_GB_MONTH} USD per GB-month",
    )
    return lines


def _item_bytes(request: Request) -> int:
    per_user = number(request.serving, "recommendations_per_user", DEFAULT_RECOMMENDATIONS)
    return DYNAMODB_ITEM_BYTES + per_user * DYNAMODB_RECOMMENDATION_BYTES
