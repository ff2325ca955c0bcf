"""What a failed step of the workflow means: what happened, where to look, what to do.

Step Functions hands over an error's name and its cause. The cause is a text, or a job's description as
JSON text (``FailureReason`` of SageMaker's jobs, ``ErrorMessage`` of Glue's runs, ``errorMessage`` of a
Lambda function).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.instances.quota_increases import Increase, increase_from_refusal, parse_refusal

QUOTA_REFUSED = "QuotaRefused"
CAPACITY_MISSING = "CapacityMissing"
NO_INSTANCE_LEFT = "NoInstanceLeft"
OUT_OF_MEMORY = "OutOfMemory"
ACCESS_DENIED = "AccessDenied"
TIMED_OUT = "TimedOut"
THROTTLED = "Throttled"
BAD_DATA = "BadData"

REASON_CHARACTERS = 1500
SUBJECT_CHARACTERS = 100
"""SNS takes no longer subject."""

TASK_FAILED = "States.TaskFailed"
_OWN = re.compile(r"(?:^|; |\.)(InputError|FormatError|SettingsError): ")
"""An error of this project in what Glue says of a run; some versions put a category and a line before it."""
_REASON_KEYS = ("FailureReason", "ErrorMessage", "errorMessage", "StatusDetails")
_CONSOLE_DOMAINS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


@dataclass(frozen=True)
class Explanation:
    """A failure for the person who has to act."""

    error: str
    sentence: str
    subject: str
    increase: Increase | None = None
    """What to ask Service Quotas for, where a quota is the cause."""

    def to_document(self) -> dict[str, str]:
        return {"error": self.error, "sentence": self.sentence, "subject": self.subject}


@dataclass(frozen=True)
class Place:
    """Where the execution runs, read from its ARN."""

    partition: str
    region: str
    account: str
    execution_arn: str

    @classmethod
    def of(cls, execution_arn: str) -> Place:
        parts = execution_arn.split(":")
        return cls(parts[1], parts[3], parts[4], execution_arn)

    def console(self, service: str, fragment: str) -> str:
        domain = _CONSOLE_DOMAINS.get(self.partition, _CONSOLE_DOMAINS["aws"])
        return f"<https://{self.region}.{domain}/{service}/home?region={self.region}#{fragment}>"


def explain(failure: Mapping[str, Any], execution_arn: str) -> Explanation:
    """Put a failed state into a sentence.

    Parameters
    ----------
    failure
        ``state``: the state's name; ``error``: ``{"Error", "Cause"}`` as Step Functions reports it; ``log``:
        what ran, one of the keys of `LOGS`, if anything did; ``name``: the job's or endpoint's name. With
        the error ``NoInstanceLeft`` also ``refused`` (a list of ``{"instance_type", "cause"}``) and
        ``planned`` (the step's ``no_candidate`` and ``quota_increase``).
    execution_arn
        Gives region, account and partition.
    """
    place = Place.of(execution_arn)
    error = str(failure["error"].get("Error") or "Unknown")
    cause = str(failure["error"].get("Cause") or "")
    described = _described(cause)
    increase = None
    if error == NO_INSTANCE_LEFT:
        name = error
        reason, advice, increase = _no_instance_left(failure, place)
    else:
        reason = _reason(described, cause)
        refusal = parse_refusal(reason)
        if refusal is None:
            name, advice = _classify(error, reason)
        else:
            increase = increase_from_refusal(refusal, region=place.region, partition=place.partition)
            name, advice = QUOTA_REFUSED, increase.sentence
    where = _where(failure, described, place)
    sentence = f"'{failure['state']}' failed: {_ended(reason or error)} Look at {where}. {advice}".strip()
    run = execution_arn.rsplit(":", 1)[-1]
    subject = f"Run {run} failed: {failure['state']}"
    return Explanation(name, sentence, subject[:SUBJECT_CHARACTERS], increase)


def _described(cause: str) -> dict[str, Any]:
    try:
        document = json.loads(cause)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _reason(described: Mapping[str, Any], cause: str) -> str:
    for key in _REASON_KEYS:
        if described.get(key):
            return str(described[key])[:REASON_CHARACTERS]
    if described:
        status = described.get("TrainingJobStatus") or described.get("TransformJobStatus")
        status = status or described.get("JobRunState")
        if status:
            return f"it ended as {status}, without a reason"
    return cause[:REASON_CHARACTERS]


def _classify(error: str, reason: str) -> tuple[str, str]:
    """The error's name for the Fail state, and what to do."""
    for matches, name, advice in _RULES:
        if matches(error, reason):
            return name, advice
    own = _OWN.search(reason) if error == TASK_FAILED else None
    if own is not None:
        return own[1], ""
    return error, "" if _says_what_to_do(error) else "Start the execution again when the cause is gone."


def _no_instance_left(failure: Mapping[str, Any], place: Place) -> tuple[str, str, Increase | None]:
    """Why a step ran out of candidates, what to do, and what to ask Service Quotas for."""
    planned, refused = failure["planned"], failure["refused"]
    if not refused:
        increase = _planned_increase(planned.get("quota_increase"), place)
        advice = increase.sentence if increase else ""
        return f"no instance suits: {planned['no_candidate']}", advice, increase
    reasons = [f"{r['instance_type']} ({_reason(_described(r['cause']), r['cause'])})" for r in refused]
    reason = f"every instance that suits was refused: {'; '.join(reasons)}"
    for refusal in (parse_refusal(r["cause"]) for r in refused):
        if refusal is not None:
            increase = increase_from_refusal(refusal, region=place.region, partition=place.partition)
            return reason, increase.sentence, increase
    advice = "Start the execution again later, or allow other families in instances.policy.families."
    return reason, advice, None


def _planned_increase(found: Mapping[str, Any] | None, place: Place) -> Increase | None:
    if found is None:
        return None
    return Increase(
        quota=found["quota_name"],
        code=found["quota_code"],
        limit=found["limit"],
        used=found["used"],
        desired=found["desired_value"],
        waiting_can_help=found["waiting_can_help"],
        region=place.region,
        partition=place.partition,
    )


def _says_what_to_do(error: str) -> bool:
    """Errors of this project say it themselves (fmrec.errors); AWS services' names have a dot."""
    return error.endswith("Error") and "." not in error


def _contains(*texts: str) -> Callable[[str, str], bool]:
    return lambda error, reason: any(text in error or text in reason for text in texts)


_RULES: tuple[tuple[Callable[[str, str], bool], str, str], ...] = (
    (
        _contains(
            "CapacityError", "InsufficientInstanceCapacity", "Unable to provision requested ML compute"
        ),
        CAPACITY_MISSING,
        "AWS has none of these instances free at the moment: start the execution again later, or allow other "
        "families in the setting instances.policy.families.",
    ),
    (
        _contains("AccessDenied", "not authorized to perform"),
        ACCESS_DENIED,
        "Deploy the stacks again, so that the roles have what the code needs; if it stays, look for a "
        "permissions boundary or a service control policy that denies the action.",
    ),
    (
        _contains("exit code: 137", "exit code 137", "out of memory", "OutOfMemory", "MemoryError"),
        OUT_OF_MEMORY,
        "The instance's memory was too small: raise instances.policy.memory_safety_factor, name a larger type "
        "in instances.policy.instance_types, or lower num_factors.",
    ),
    (
        _contains("States.Timeout", "Task timed out after"),
        TIMED_OUT,
        "It took longer than its limit: see in its log whether it was still getting on, and raise the limit in "
        "settings or make its work smaller.",
    ),
    (
        _contains("ThrottlingException", "Rate exceeded", "TooManyRequests"),
        THROTTLED,
        "Too many requests of this account reached the service at once, and repeating did not help: start the "
        "execution again when less is going on.",
    ),
    (
        _contains("ClientError:", "Customer Error"),
        BAD_DATA,
        "The algorithm refused its data or parameters: they have to change before another run can succeed.",
    ),
)


def _training(described: Mapping[str, Any], name: str, place: Place) -> str:
    job = described.get("TrainingJobName") or name
    return (
        f"training job {job}, log group /aws/sagemaker/TrainingJobs, streams {job}/…, "
        f"{place.console('sagemaker', f'/jobs/{job}')}"
    )


def _tuning(described: Mapping[str, Any], name: str, place: Place) -> str:
    job = described.get("HyperParameterTuningJobName") or name
    return (
        f"the training jobs of tuning job {job}, log group /aws/sagemaker/TrainingJobs, streams {job}-…, "
        f"{place.console('sagemaker', f'/hyper-tuning-jobs/{job}')}"
    )


def _transform(described: Mapping[str, Any], name: str, place: Place) -> str:
    job = described.get("TransformJobName") or name
    return (
        f"transform job {job}, log group /aws/sagemaker/TransformJobs, streams {job}/…, "
        f"{place.console('sagemaker', f'/transform-jobs/{job}')}"
    )


def _endpoint(described: Mapping[str, Any], name: str, place: Place) -> str:
    return (
        f"endpoint {name}, log group /aws/sagemaker/Endpoints/{name}, "
        f"{place.console('sagemaker', f'/endpoints/{name}')}"
    )


def _glue(described: Mapping[str, Any], name: str, place: Place) -> str:
    run = described.get("Id")
    which = f"run {run} of Glue job {name}" if run else f"Glue job {name}"
    stream = f", streams {run}…" if run else ""
    return f"{which}, log groups /aws-glue/jobs/…{stream}, {place.console('gluestudio', f'/editor/job/{name}/runs')}"


def _function(described: Mapping[str, Any], name: str, place: Place) -> str:
    return f"the log of the function {name}, {place.console('lambda', f'/functions/{name}?tab=monitoring')}"


LOGS: dict[str, Callable[[Mapping[str, Any], str, Place], str]] = {
    "training": _training,
    "tuning": _tuning,
    "transform": _transform,
    "endpoint": _endpoint,
    "glue": _glue,
    "function": _function,
}
"""What can run, and where its log is."""


def _where(failure: Mapping[str, Any], described: Mapping[str, Any], place: Place) -> str:
    execution = f"the execution, {place.console('states', f'/v2/executions/details/{place.execution_arn}')}"
    log = failure.get("log")
    if log not in LOGS:
        return execution
    return f"{LOGS[log](described, str(failure.get('name') or 'unknown'), place)}, or {execution}"


def _ended(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
