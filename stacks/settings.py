"""What a deployment is made of, typed and checked: cdk.json's context key ``fmrec``.

Every setting has a default, so ``{}`` deploys. On the command line a setting is overridden by its
dotted name (``-c fmrec.serving.endpoint=false``) or several by one JSON object
(``-c fmrec='{"glue": {"workers": 10}}'``, which stands in for the object in cdk.json). A wrong setting
ends synthesis with one sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import Field, ValidationError, field_validator, model_validator

from fmrec.dataset import Dataset
from fmrec.dataset.labels import check_predictor
from fmrec.dataset.left_out_share import MAXIMUM_SHARE
from fmrec.dataset.names import DEFAULT, infix
from fmrec.deployment import drift_limits
from fmrec.deployment.defaults import DATASET, TASK, TASKS, TaskName, task_section
from fmrec.errors import FmrecError, SettingsError
from fmrec.events.event_files import EventFiles
from fmrec.execution import execution_input, quality_gate, tuning
from fmrec.instances.policy import Policy
from fmrec.operation.starting import Patience
from fmrec.ranking.simple_models import MAXIMUM_ITEMS, MAXIMUM_SECONDS
from stacks.api_settings import Api, Events
from stacks.section import Section
from stacks.serving_settings import Serving

CONTEXT_KEY = "fmrec"

METRICS_OF_PREDICTOR = {
    "binary_classifier": (
        "binary_classification_accuracy",
        "binary_classification_cross_entropy",
        "binary_f_beta",
    ),
    "regressor": ("rmse", "mse", "absolute_loss"),
}

LOCAL_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g\d+|p4|p5)[.e]")
"""Families whose instances come with disks, such as m5d and g4dn."""

LastResort = Literal["fail", "wait"]
EndpointLastResort = Literal["fail", "wait", "serverless", "batch-only"]


class Task(Section):
    """How the models of one task are trained and judged."""

    label: dict[str, Any]
    """The data set document's `label`, where the document gives none."""
    hyperparameters: dict[str, str]
    thresholds: dict[str, Any]
    """What a model must reach: SageMaker's metrics for `predict-rating`, ranking metrics for `recommend`."""


class Tuning(Section):
    """Hyperparameter tuning before every training; what isn't given is as in
    `fmrec.deployment.defaults.TUNING_BY_RANKING`, or with ``ranges`` in `fmrec.deployment.defaults.TUNING`.
    """

    maximum_jobs: int | None = None
    parallel_jobs: int | None = None
    maximum_usd: float | None = None
    """What the training jobs of one tuning may cost together, by the instance's hourly price."""
    maximum_minutes: int | None = None
    """How long trials that are compared by ranking may take together."""
    ranges: dict[str, list[int | float]] | None = None
    """What SageMaker's own tuning may try, by what its container measures."""
    objective: str | None = None


class LastResorts(Section):
    """What a run does when no instance is left for a step."""

    training: LastResort = "fail"
    transform: LastResort = "fail"
    endpoint: EndpointLastResort = "fail"
    """``serverless`` needs no instance; ``batch-only`` goes on with the table alone and says so."""
    wait_minutes: Annotated[int, Field(ge=5, le=24 * 60)] = 60
    """How long ``wait`` may last, in all, for one step."""
    serverless_memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    serverless_concurrency: Annotated[int, Field(ge=1, le=200)] = 5


class Instances(Section):
    """Which SageMaker instances may be used; ``policy`` is `fmrec.instances.policy.Policy`."""

    policy: dict[str, Any] = Field(default_factory=dict)
    last_resort: LastResorts = LastResorts()
    maximum_training_hours: Annotated[int, Field(ge=1, le=120)] = 24
    request_quota_increases: bool = False
    """Ask Service Quotas by itself when a quota has stopped a run; never twice while one is open."""

    @field_validator("policy")
    @classmethod
    def _policy(cls, value: dict[str, Any]) -> dict[str, Any]:
        for types in Policy.from_mapping(value).instance_types.values():
            for instance_type in types:
                if LOCAL_DISKS.match(instance_type):
                    raise SettingsError(
                        f"instances.policy.instance_types names {instance_type}, which has disks of its own: "
                        "SageMaker can't encrypt them with this deployment's key; choose a type without them"
                    )
        return value


class Drift(Section):
    """When data that differs from the champion's is warned of, and when it stops a run; each measure with
    its limit (`fmrec.deployment.drift_limits.LIMITS`).
    """

    warn: dict[str, Any] | None = None
    """By default `fmrec.deployment.drift_limits.WARN`; an object stands in for all of them."""
    stop: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Drift:
        drift_limits.limits(self.model_dump())
        return self


class NewData(Section):
    """When new objects of raw data start a run."""

    check_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 15
    quiet_minutes: Annotated[float, Field(ge=0, le=24 * 60)] = 10
    """Nothing may have been uploaded for so long."""
    minimum_megabytes: Annotated[float, Field(ge=0)] = 0
    """Less new data than that waits …"""
    maximum_wait_hours: Annotated[float, Field(ge=0, le=24 * 366)] = 24
    """… for so long."""

    @property
    def patience(self) -> Patience:
        return Patience(self.quiet_minutes, self.minimum_megabytes, self.maximum_wait_hours)


class Start(Section):
    """What starts runs of the deployed data set apart from a person."""

    schedule: Annotated[str, Field(pattern=r"^(cron|rate|at)\(.+\)$")] | None = None
    """An expression of EventBridge Scheduler."""
    time_zone: str = "UTC"
    """The schedule's, by its IANA name."""
    new_data: NewData | None = None

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise SettingsError(f"start.time_zone is {value!r}: expected an IANA name, such as Europe/Vienna")
        return value


class Watch(Section):
    """What watches the deployment apart from its alarms."""

    dashboard: bool = False
    monthly_budget_usd: Annotated[float, Field(gt=0)] | None = None


class Glue(Section):
    """The encoding job."""

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X", "R.1X", "R.2X", "R.4X", "R.8X"] = "G.1X"
    workers: Annotated[int, Field(ge=2, le=299)] = 3
    """One of them is the driver; with auto scaling the most that a run may have."""
    auto_scaling: bool = True
    flex: bool = False
    """Cheaper spare capacity: a run may start some 20 minutes late and has no service level."""
    timeout_minutes: Annotated[int, Field(ge=5, le=7 * 24 * 60)] = 480
    concurrent_runs: Annotated[int, Field(ge=1, le=200)] = 2

    @model_validator(mode="after")
    def _flex_workers(self) -> Glue:
        if self.flex and self.worker_type not in {"G.1X", "G.2X"}:
            raise SettingsError(
                f"glue.worker_type is {self.worker_type!r}: Flex has only 'G.1X' and 'G.2X'; choose one of "
                "them, or set glue.flex to false"
            )
        return self


class Functions(Section):
    """The Lambda functions that read or write in proportion to the data."""

    memory_mb: Annotated[int, Field(ge=512, le=10240)] = 2048
    publish_concurrency: Annotated[int, Field(ge=1, le=40)] = 4
    """Query parts published at the same time."""


class Retention(Section):
    """What is kept, and for how long."""

    removal: Literal["retain", "destroy"] = "retain"
    """``destroy`` empties and deletes everything with the stacks: for deployments to throw away."""
    log_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 180, 365, 731, 1827, 3653] = 90
    intermediate_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Age at which what can be made again is deleted: encoded/, embeddings/, neighbours/, scores/."""
    noncurrent_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Age at which versions that were overwritten or deleted are gone for good."""


class SimpleModels(Section):
    """EASE, item-kNN and ALS, judged next to every `recommend` model on the same users."""

    maximum_items: Annotated[int, Field(ge=0, le=20_000)] = MAXIMUM_ITEMS
    """They are matrices of items × items, so larger catalogues go without; 0 for never. Above 10,000 items
    the functions need more memory than by default: 12 bytes for each pair of items."""
    maximum_seconds: Annotated[float, Field(gt=0, le=600)] = MAXIMUM_SECONDS


class Settings(Section):
    """The whole deployment."""

    name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,7}$")] = "FmRec"
    """Begins the stacks' names and, in lower case, the names of SageMaker's jobs, models and endpoint."""
    task: TaskName = TASK
    """What a run trains for, unless its input says otherwise."""
    tasks: dict[TaskName, Task] = Field(default_factory=dict)
    """Each task's label, hyperparameters and thresholds; what isn't given is as in
    `fmrec.deployment.defaults.TASKS`."""
    tuning: Tuning | None = None
    """Whether hyperparameters are tuned before a run trains, unless its input says otherwise."""
    ensemble: Annotated[int, Field(ge=1, le=execution_input.MAXIMUM_ENSEMBLE)] = 1
    """How many models a `recommend` run trains for one index, unless its input says otherwise."""
    left_out_users: Annotated[float, Field(ge=0, le=MAXIMUM_SHARE)] = 0
    """Share of the users whom a `recommend` run leaves out of training, to judge lists for new users by."""
    dataset: dict[str, Any] = DATASET
    """The data set document; its `label`, if it has one, holds for both tasks."""
    instances: Instances = Instances()
    serving: Serving = Serving()
    glue: Glue = Glue()
    drift: Drift = Drift()
    start: Start = Start()
    watch: Watch = Watch()
    functions: Functions = Functions()
    api: Api | None = None
    """Whether there is an HTTP API: ``{}`` deploys it on its defaults."""
    retention: Retention = Retention()
    simple_models: SimpleModels = SimpleModels()
    notification_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None
    """Receives a message when a run has succeeded or failed."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _tasks(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        own = {name: value.get(name, {}) for name in TASKS}
        # What is no task, or no section, is left to the types' own check.
        return {**value, **{name: task_section(name, given) for name, given in own.items()}}

    @model_validator(mode="after")
    def _across(self) -> Settings:
        for name, task in self.tasks.items():
            document = execution_input.labelled(self.dataset, task.label)
            label = Dataset.from_document(document).label
            predictor_type = task.hyperparameters["predictor_type"]
            check_predictor(label.mode, predictor_type)
            if self.tuning is not None:
                lists = name == TASK
                section = tuning.for_task(self.tuning.model_dump(), lists=lists)
                tuning.resolve(section, task.hyperparameters, lists=lists)
            for metric in task.thresholds:
                known = quality_gate.is_ranking_metric(metric)
                if name == "recommend" and not known:
                    raise SettingsError(
                        f"tasks.recommend.thresholds.{metric}: lists are judged by ranking metrics, such as "
                        "ndcg_at_10, and nothing else"
                    )
                if name == "predict-rating" and (
                    quality_gate.plain_name(metric) not in METRICS_OF_PREDICTOR[predictor_type]
                ):
                    raise SettingsError(
                        f"tasks.predict-rating.thresholds.{metric}: a {predictor_type} reports "
                        f"{', '.join(METRICS_OF_PREDICTOR[predictor_type])} and nothing else"
                    )
            quality_gate.check({}, task.thresholds)
        if self.api is not None and self.api.endpoint_from_items is not None and not self.serving.endpoint:
            raise SettingsError(
                f"api.endpoint_from_items is {self.api.endpoint_from_items}, but runs make no k-NN endpoint: "
                "set serving.endpoint to true, or leave endpoint_from_items out"
            )
        if self.api is not None and self.api.events is not None:
            try:
                EventFiles.of(self.dataset)
            except SettingsError as error:
                raise SettingsError(f"api.events: {error}") from error
        return self

    @property
    def events(self) -> Events | None:
        """What is stored of events, if the API takes any."""
        return None if self.api is None else self.api.events

    @property
    def prefix(self) -> str:
        """What the names of SageMaker's jobs, models and endpoint begin with; at most 8 characters."""
        return self.name.lower()

    @property
    def dataset_name(self) -> str:
        """The data set of runs whose input names none."""
        return str(self.dataset.get("name") or DEFAULT)

    @property
    def endpoint_name(self) -> str:
        """Of k-NN's index, for `recommend` of the deployed data set."""
        return f"{self.prefix}-{infix(self.dataset_name, '-')}knn"

    @property
    def scoring_endpoint_name(self) -> str:
        """Of the FM model itself, for `predict-rating` of the deployed data set."""
        return f"{self.prefix}-{infix(self.dataset_name, '-')}fm"

    @property
    def watched_endpoints(self) -> tuple[str, ...]:
        """Endpoints of the deployed data set that runs make, and that alarms watch."""
        return (self.endpoint_name, self.scoring_endpoint_name) if self.serving.endpoint else ()


def from_context(context: Mapping[str, Any]) -> Settings:
    """Read settings from the CDK context (cdk.json, overridden by ``-c``).

    Raises
    ------
    SettingsError
        One sentence: which setting, what was found, what was expected.
    """
    document = _as_object(context.get(CONTEXT_KEY, {}))
    for key, value in context.items():
        if key.startswith(f"{CONTEXT_KEY}."):
            _set(document, key.split(".")[1:], _parsed(value))
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from error
    except FmrecError as error:
        raise SettingsError(f"Wrong setting in {CONTEXT_KEY!r}: {error}") from error


def _as_object(found: Any) -> dict[str, Any]:
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise SettingsError(f"-c {CONTEXT_KEY}=… is not JSON: {error}.") from error
    if not isinstance(found, Mapping):
        raise SettingsError(f"The context {CONTEXT_KEY!r} is {found!r}: expected a JSON object of settings.")
    copied: dict[str, Any] = json.loads(json.dumps(found))
    return copied


def _parsed(value: Any) -> Any:
    """``-c`` hands text over: what reads as JSON is meant as JSON, and anything else as text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _set(document: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            raise SettingsError(f"{CONTEXT_KEY}.{'.'.join(path)}: {name} is a value and has no settings.")
    document[path[-1]] = value


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"The setting {place!r} is unknown: see stacks/settings.py for those that there are."
    return f"The setting {place} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."
