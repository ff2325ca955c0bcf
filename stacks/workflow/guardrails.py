"""How an endpoint is updated: blue/green, watched by alarms that roll it back (deployment guardrails).

They are for endpoints on instances; a serverless one is updated without. A fleet of one instance can't be
shifted in parts (a part is an integer number of instances and at most half of them), so it moves at once and
is watched just the same.
"""

from __future__ import annotations

from stacks.settings import Settings
from stacks.workflow.state_builders import jsonata

LONGEST_SECONDS = 28_800
"""SageMaker's limit for a deployment."""
TYPES = {"canary": ("CANARY", "CanarySize"), "linear": ("LINEAR", "LinearStepSize")}


def alarm_names(settings: Settings, endpoint: str) -> tuple[str, str]:
    """The alarms of an endpoint of the deployed data set: on errors, and on latency."""
    return f"{settings.name}Pipeline-{endpoint}-errors", f"{settings.name}Pipeline-{endpoint}-latency"


def deployment_config(settings: Settings) -> str:
    """The ``DeploymentConfig`` of an update: an expression of the endpoint's name and its new instances."""
    update = settings.serving.update
    seconds = update.bake_minutes * 60
    kind, size = TYPES.get(update.traffic, ("", ""))
    at_once = "{'Type': 'ALL_AT_ONCE', 'WaitIntervalInSeconds': 0}"
    routing = at_once
    if kind:
        instances = f"$max([1, $floor($instances * {update.step_percent} / 100)])"
        routing = (
            f"$instances > 1 ? {{'Type': '{kind}', 'WaitIntervalInSeconds': {seconds}, "
            f"'{size}': {{'Type': 'INSTANCE_COUNT', 'Value': {instances}}}}} : {at_once}"
        )
    policy = (
        f"{{'BlueGreenUpdatePolicy': {{'TrafficRoutingConfiguration': {routing}, "
        f"'TerminationWaitInSeconds': {seconds}, 'MaximumExecutionTimeoutInSeconds': {LONGEST_SECONDS}}}}}"
    )
    watched = ", ".join(
        f"'{endpoint}': ["
        + ", ".join(f"{{'AlarmName': '{name}'}}" for name in alarm_names(settings, endpoint))
        + "]"
        for endpoint in settings.watched_endpoints
    )
    # Endpoints of other data sets have no alarms of this deployment.
    return jsonata(
        f"( $alarms := $lookup({{{watched}}}, $endpoint.name); $merge([{policy}, "
        "$exists($alarms) ? {'AutoRollbackConfiguration': {'Alarms': $alarms}} : {}]) )"
    )
