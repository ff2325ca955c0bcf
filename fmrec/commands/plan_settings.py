"""A deployment's settings as planning needs them, from the ``cdk.json`` that deploys them.

What a setting leaves out is as deployed (`fmrec.deployment.defaults`): `fmrec plan` reckons with the
epochs, factors and neighbours that a run of that deployment would have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.dataset import Dataset
from fmrec.dataset.labels import Label
from fmrec.deployment.defaults import (
    DATASET,
    SERVING_OF_A_DEPLOYMENT,
    SETTINGS,
    TASK,
    TASKS,
    TaskName,
    task_section,
)
from fmrec.errors import MALFORMED, SettingsError
from fmrec.execution import execution_input, tuning
from fmrec.instances.policy import Policy
from fmrec.instances.scaling import Scaling
from fmrec.instances.workloads import Glue

CONTEXT_KEY = "fmrec"
WORKER_TYPE = re.compile(r"[GR]\.[1248]X")
MIN_WORKERS = 2


@dataclass(frozen=True)
class PlanSettings:
    """What a run of the deployment would have for one task."""

    task: TaskName
    hyperparameters: dict[str, str]
    serving: dict[str, Any]
    policy: dict[str, Any]
    tuning: dict[str, Any] | None
    """As `planned_tuning` says."""
    label: Label
    """What an interaction says, which decides how many training rows it brings."""
    ensemble: int
    """Models that are trained for one index."""
    glue: Glue
    """The encoding job's workers."""


def read_settings(content: bytes | None, source: str, task: str | None) -> PlanSettings:
    """Read the settings of a cdk.json.

    Parameters
    ----------
    content
        The file's; None for the deployed defaults.
    source
        What errors call it.
    task
        Which task is planned; None for the settings' own.

    Raises
    ------
    SettingsError
        It is no cdk.json, or a setting that planning needs is wrong.
    """
    settings = {} if content is None else _settings(content, source)
    try:
        return _resolve(settings, task)
    except SettingsError as error:
        raise error if content is None else SettingsError(f"{source}: {error}") from error


def _settings(content: bytes, source: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except MALFORMED as error:
        raise SettingsError(f"{source} is not JSON, expected a cdk.json: {error}") from error
    context = _section(document, source, source).get("context", {})
    return _section(
        _section(context, "context", source).get(CONTEXT_KEY, {}), f"context.{CONTEXT_KEY}", source
    )


def _section(value: Any, place: str, source: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        of = "" if place == source else f"{source}: "
        raise SettingsError(f"{of}{place} is {_short(value)}: expected a JSON object")
    return value


def _resolve(settings: Mapping[str, Any], wanted: str | None) -> PlanSettings:
    unknown = [key for key in settings if key not in SETTINGS]
    if unknown:
        raise SettingsError(f"the setting {unknown[0]!r} is unknown: expected only {', '.join(SETTINGS)}")
    name = wanted or settings.get("task", TASK)
    if not isinstance(name, str) or name not in TASKS:
        raise SettingsError(f"task is {_short(name)}: expected {' or '.join(map(repr, TASKS))}")
    own = _own(_own(settings, "tasks"), name, "tasks.")
    section = task_section(name, own)
    instances = _own(settings, "instances")
    dataset = settings.get("dataset", DATASET)
    if not isinstance(dataset, Mapping):
        raise SettingsError(f"dataset is {_short(dataset)}: expected a data set document")
    if not isinstance(section["label"], Mapping):
        raise SettingsError(f"tasks.{name}.label is {_short(section['label'])}: expected a JSON object")
    label = Dataset.from_document(execution_input.labelled(dataset, section["label"])).label
    chosen = section["hyperparameters"]
    own_serving = _own(settings, "serving")
    serving = execution_input.serving(
        {"exclude_seen": name == TASK},
        {key: value for key, value in own_serving.items() if key not in SERVING_OF_A_DEPLOYMENT},
    )
    if Scaling.of(own_serving) is not None:
        serving["scaling"] = own_serving["scaling"]
    policy = _own(instances, "policy", "instances.")
    Policy.from_mapping(policy)
    return PlanSettings(
        name,
        chosen,
        serving,
        dict(policy),
        planned_tuning(tuning.for_task(settings.get("tuning"), lists=name == TASK), chosen, name),
        label,
        execution_input.check_ensemble(settings.get("ensemble", 1), "ensemble") if name == TASK else 1,
        _glue(_own(settings, "glue")),
    )


def planned_tuning(section: Any, chosen: Mapping[str, str], task: str) -> dict[str, Any] | None:
    """``maximum_jobs``, ``parallel_jobs`` and the ``objective``'s name; None for no tuning."""
    found = tuning.resolve(section, chosen, lists=task == TASK)
    if found is None:
        return None
    limits = {key: found[key] for key in ("maximum_jobs", "parallel_jobs")}
    return limits | {"objective": found["objective"]["MetricName"]}


def _glue(own: Mapping[str, Any]) -> Glue:
    usual = Glue()
    kind, workers = own.get("worker_type", usual.worker_type), own.get("workers", usual.workers)
    if not isinstance(kind, str) or not WORKER_TYPE.fullmatch(kind):
        raise SettingsError(f"glue.worker_type is {_short(kind)}: expected one as in 'G.1X' or 'R.4X'")
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < MIN_WORKERS:
        raise SettingsError(
            f"glue.workers is {_short(workers)}: expected an integer of at least {MIN_WORKERS}, as one worker is "
            "the driver"
        )
    return Glue(kind, workers)


def _own(settings: Mapping[str, Any], key: str, place: str = "") -> Mapping[str, Any]:
    value = settings.get(key, {})
    if not isinstance(value, Mapping):
        raise SettingsError(f"{place}{key} is {_short(value)}: expected a JSON object of settings")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
