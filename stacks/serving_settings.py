"""Settings of what becomes of a model: lists, and the endpoint with its updates, its scaling and its end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fmrec.deployment.defaults import SERVING, SERVING_OF_A_DEPLOYMENT
from fmrec.errors import SettingsError
from fmrec.execution import execution_input
from fmrec.instances.scaling import LARGEST, SMALLEST, Scaling
from fmrec.instances.serverless import Serverless
from stacks.section import Section


class EndpointUpdate(Section):
    """How an endpoint on instances changes to a new model: blue/green, watched by alarms."""

    traffic: Literal["all-at-once", "canary", "linear"] = "all-at-once"
    """How requests move to the new instances; in parts where there are at least two of them."""
    step_percent: Annotated[int, Field(ge=10, le=50)] = 25
    """A canary's share of the instances, or that of a linear step."""
    bake_minutes: Annotated[int, Field(ge=1, le=60)] = 5
    """How long the alarms are watched after each step, and before the old instances end."""
    maximum_latency_ms: Annotated[float, Field(gt=0, le=60_000)] = 2000
    """Mean latency of a minute's calls beyond which the alarm fires."""


class EndpointScaling(Section):
    """How many instances an endpoint has, by its calls (Application Auto Scaling)."""

    minimum_instances: Annotated[int, Field(ge=SMALLEST, le=LARGEST)] = Scaling.minimum
    maximum_instances: Annotated[int, Field(ge=SMALLEST, le=LARGEST)] = Scaling.maximum
    """A run lowers it to what quotas and the policy's price allow, and says so."""
    invocations_per_instance: Annotated[float, Field(gt=0)] = 600
    """Calls a minute that one instance should get."""

    @property
    def limits(self) -> dict[str, int]:
        """What the instance chooser counts."""
        return {
            "minimum_instances": self.minimum_instances,
            "maximum_instances": self.maximum_instances,
        }

    @model_validator(mode="after")
    def _in_order(self) -> EndpointScaling:
        Scaling.of({"scaling": self.limits})
        return self


class ServerlessEndpoint(Section):
    """An endpoint without instances, paid by the call."""

    memory_mb: int = Serverless.memory_mb
    """The least; an index or a model that needs more gets more."""
    maximum_concurrency: int = Serverless.maximum_concurrency
    """Requests at a time; more are throttled."""


class Serving(Section):
    """What becomes of the recommendations; an execution's input may say otherwise."""

    recommendations_per_user: int = SERVING["recommendations_per_user"]
    neighbours: int | None = None
    """What k-NN is asked for, for each user; by default as many as are recommended, and more where some
    are left out."""
    co_occurrence: float = SERVING["co_occurrence"]
    """How far scores of what goes with what spread, where the model's own spread by 1
    (`fmrec.model.co_occurrence`)."""
    exclude_seen: bool | None = None
    """Leave out what a user interacted with in training; by default `recommend` does,
    `predict-rating` doesn't.
    """
    filters: dict[str, Any] = SERVING["filters"]
    """Business rules, see `fmrec.recommendations.filters`."""
    segments: str | None = SERVING["segments"]
    """The ``s3://`` URI of users' segments, for lists of what is popular in each."""
    endpoint: bool = SERVING["endpoint"]
    """Whether a run also creates or updates its task's endpoint: of k-NN, or of the FM model itself."""
    serverless: ServerlessEndpoint | None = None
    """Whether the endpoint has no instances; ``{}`` does with the defaults."""
    update: EndpointUpdate = EndpointUpdate()
    scaling: EndpointScaling | None = None
    """Whether the number of an endpoint's instances follows its calls; ``{}`` does with the defaults."""
    idle_hours: Annotated[int, Field(ge=1, le=30 * 24)] | None = None
    """Endpoints on instances that nobody has called for so long are deleted until the next run or request."""

    @field_validator("serverless", mode="before")
    @classmethod
    def _none_is_false(cls, value: Any) -> Any:
        """As in an execution's input."""
        return None if value is False else value

    @property
    def of_a_run(self) -> dict[str, Any]:
        """Those that an execution's input may say otherwise."""
        return self.model_dump(exclude=set(SERVING_OF_A_DEPLOYMENT))

    @model_validator(mode="after")
    def _check(self) -> Serving:
        execution_input.serving(self.of_a_run)
        if self.serverless is not None:
            self._check_serverless()
        return self

    def _check_serverless(self) -> None:
        """What is for endpoints on instances says nothing of one that has none."""
        for setting, given, why in (
            ("scaling", self.scaling is not None, "SageMaker starts as many as calls need, by itself"),
            ("idle_hours", self.idle_hours is not None, "it costs nothing while nobody calls"),
            ("update.traffic", self.update.traffic != "all-at-once", "its requests can't move in parts"),
        ):
            if given:
                raise SettingsError(
                    f"serving.{setting} is for endpoints on instances, and with serving.serverless there are none: "
                    f"{why}; leave out one of the two"
                )
