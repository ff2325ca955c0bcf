"""The endpoint: create or update it with this run's model, and smoke-test it.

What it is of, k-NN's index or the model of ratings itself, is in variables (`endpoint_of`).
The old model serves until the new fleet stands and has been watched (`guardrails`). Only an endpoint on
instances that is to be serverless is deleted first: SageMaker doesn't update the one to the other (developer
guide, "Deploy models with Amazon SageMaker Serverless Inference"). A fleet that finds no capacity ends in
``Failed``, and a failed endpoint can only be deleted; a failed update rolls back to the old configuration
instead. Both are recognised by what DescribeEndpoint says.
"""

from __future__ import annotations

from typing import Any

from stacks.settings import Settings
from stacks.workflow.autoscaling import DEREGISTER, IN_SERVICE, deregister, instances, register, reported
from stacks.workflow.candidates import NO_CAPACITY
from stacks.workflow.endpoint_changes import ENDPOINT, NAME, change, failed
from stacks.workflow.endpoint_last_resorts import (
    IS_SERVERLESS,
    SERVERLESS,
    SERVERLESS_QUESTION,
    WITHOUT,
    last_resort,
    serverless,
)
from stacks.workflow.guardrails import deployment_config
from stacks.workflow.names import VARIANT
from stacks.workflow.smoke_tests import SMOKE_TEST, SMOKE_TEST_SCORING, smoke_test
from stacks.workflow.state_builders import (
    EXPLAIN,
    SAGEMAKER_SDK_ERRORS,
    State,
    States,
    decide,
    failure,
    jsonata,
    merge,
    retry,
    task,
    wait,
)
from stacks.workflow.training import tags

WANTED = "Is an endpoint requested?"
LOOK = "Look up the endpoint"
MISSING = "Is the endpoint missing?"
READY = "Can the endpoint be changed?"
SETTLE = "Wait for the endpoint's pending change"
REMOVE = "Delete the failed endpoint"
REMOVING = "Wait until the endpoint is deleted"
KIND = "Is the endpoint to be serverless?"
CONFIGURE = "Configure the endpoint"
EXISTS = "Does the endpoint exist?"
CREATE = "Create the endpoint"
UPDATABLE = "Can the endpoint be updated?"
REPLACE = "Delete the endpoint on instances"
UPDATE = "Update the endpoint"
UPDATE_PLAINLY = "Update the endpoint without guardrails"
WAIT = "Wait for the endpoint"
SEE = "Check the endpoint status"
SERVES = "Does the endpoint serve this model?"

POLL_SECONDS = 20
MAXIMUM_POLLS = 180
"""An hour: SageMaker itself gives a fleet up before."""
DESCRIBE = "DescribeEndpoint"
OF_SERVERLESS = (
    f"{IS_SERVERLESS} ? {{'memory_mb': $candidate.memory_mb, 'maximum_concurrency': $candidate.maximum_concurrency}} "
    ": {}"
)
"""What the report has of an endpoint without instances: the end of a list of objects to merge."""
MISSING_NOW = {"found": "Missing", "found_serverless": False, "found_instances": 0}
NOT_FOUND = "/Could not find endpoint/"
THROTTLED = "/Rate exceeded|Throttling|TooManyRequests/"


def endpoint_of(name: str, step: str) -> dict[str, Any]:
    """Variables for the endpoint of the model ``$model_name``.

    Parameters
    ----------
    name
        An expression for the endpoint's.
    step
        Its key in the plan.
    """
    return {
        "endpoint": {"name": jsonata(name), "status": "NotWanted", "why": "serving.endpoint is false."},
        "endpoint_step": step,
    }


def endpoint(settings: Settings, *, next_state: str) -> States:
    """All states between publishing and the report; `next_state` is the report."""
    resort = settings.instances.last_resort.endpoint
    exhausted = {"serverless": SERVERLESS_QUESTION, "batch-only": WITHOUT}.get(
        resort, ENDPOINT.exhausted(resort)
    )
    return merge(
        decide(
            WANTED,
            ("$serving.endpoint", ENDPOINT.take, {"polls": 0, "serverless_tried": False, "replacing": False}),
            otherwise=next_state,
        ),
        ENDPOINT.states(before=LOOK, attempt=KIND, exhausted=exhausted),
        _find(),
        _deploy(settings),
        _follow(settings),
        serverless(next_state=EXISTS),
        last_resort(settings, next_state=next_state),
        smoke_test(next_state=next_state),
    )


def _find() -> States:
    """What there is: nothing, something that serves, or something that failed."""
    return merge(
        task(
            LOOK,
            DESCRIBE,
            {"EndpointName": NAME},
            retries=[retry(*SAGEMAKER_SDK_ERRORS, attempts=3)],
            timeout_seconds=120,
            assign={
                "found": jsonata("$states.result.EndpointStatus"),
                "found_serverless": jsonata(
                    "$exists($states.result.ProductionVariants.CurrentServerlessConfig)"
                ),
                "found_instances": jsonata("$sum([$states.result.ProductionVariants.DesiredInstanceCount])"),
                "polls": jsonata("$polls + 1"),
            },
            catches=(_catch_missing(LOOK),),
            log="endpoint",
            log_name=NAME,
            next_state=READY,
        ),
        decide(
            MISSING,
            (
                f"$replacing and $contains($failure.error.Cause & '', {NOT_FOUND})",
                CREATE,
                {"replacing": False, "polls": 0, **MISSING_NOW},
            ),
            (
                f"$contains($failure.error.Cause & '', {NOT_FOUND})",
                ENDPOINT.next_candidate,
                MISSING_NOW,
            ),
            (
                # A missing endpoint has the same error class, so that looking is repeated a few times only.
                f"$contains($failure.error.Cause & '', {THROTTLED}) and $polls < {MAXIMUM_POLLS}",
                SETTLE,
                {"polls": jsonata("$polls + 1")},
            ),
            otherwise=EXPLAIN,
        ),
        decide(
            READY,
            ("$found = 'InService' and $not($replacing)", ENDPOINT.next_candidate),
            ("$found in ['Failed', 'UpdateRollbackFailed']", REMOVE),
            (f"$polls < {MAXIMUM_POLLS}", SETTLE),
            otherwise=EXPLAIN,
            assign={"failure": _stuck(LOOK)},
        ),
        wait(SETTLE, POLL_SECONDS, next_state=LOOK),
        _delete(REMOVE),
        wait(REMOVING, POLL_SECONDS, next_state=LOOK),
    )


def _deploy(settings: Settings) -> States:
    """Offer the candidate to SageMaker, which refuses it for a quota here and now, or takes it."""
    config_name = jsonata("$job_prefix & '-endpoint-' & $string($attempt)")
    arguments = {"EndpointName": NAME, "EndpointConfigName": jsonata("$config_name")}
    return merge(
        decide(KIND, (IS_SERVERLESS, SERVERLESS), otherwise=CONFIGURE),
        change(
            CONFIGURE,
            "CreateEndpointConfig",
            {
                "EndpointConfigName": config_name,
                "KmsKeyId": "${Key}",
                "ProductionVariants": [
                    {
                        "VariantName": VARIANT,
                        "ModelName": jsonata("$model_name"),
                        "InitialInstanceCount": jsonata(instances(settings.serving.scaling)),
                        "InstanceType": jsonata("$candidate.instance_type"),
                        "InitialVariantWeight": 1,
                    }
                ],
                "Tags": tags(),
            },
            assign={
                "config_name": config_name,
                "polls": 0,
                "instances": jsonata(instances(settings.serving.scaling)),
                "update_refused": False,
            },
            next_state=EXISTS,
        ),
        decide(
            EXISTS,
            ("$found = 'Missing'", CREATE),
            ("$found_serverless", UPDATE_PLAINLY),
            otherwise=DEREGISTER,
        ),
        deregister(VARIANT, NAME, next_state=UPDATABLE),
        decide(
            UPDATABLE,
            (IS_SERVERLESS, REPLACE, {"replacing": True, "polls": 0}),
            otherwise=UPDATE,
        ),
        _delete(REPLACE),
        change(CREATE, "CreateEndpoint", {**arguments, "Tags": tags()}, next_state=WAIT),
        change(
            UPDATE,
            "UpdateGuardedEndpoint",
            {**arguments, "DeploymentConfig": deployment_config(settings)},
            catch_quota=_refused_update(settings),
            next_state=WAIT,
        ),
        change(UPDATE_PLAINLY, "UpdateEndpoint", arguments, next_state=WAIT),
    )


def _delete(name: str) -> State:
    """Delete the endpoint, and look until it is gone."""
    return task(
        name,
        "DeleteEndpoint",
        {"EndpointName": NAME},
        retries=[retry(*SAGEMAKER_SDK_ERRORS)],
        timeout_seconds=120,
        log="endpoint",
        log_name=NAME,
        next_state=REMOVING,
    )


def _refused_update(settings: Settings) -> State | None:
    """Catcher of an update that a quota refuses: where the endpoint scales, it does so again before the next
    candidate.
    """
    if settings.serving.scaling is None:
        return None
    caught = ENDPOINT.catch_quota()
    serves = {"EndpointStatus": "InService", "EndpointConfigName": ""}
    return caught | {
        "Assign": caught["Assign"] | {"update_refused": True, "described": serves},
        "Next": IN_SERVICE,
    }


def _follow(settings: Settings) -> States:
    """Poll until the new fleet serves, failed, or was rolled back."""
    scaling = settings.serving.scaling
    serving = "$described.EndpointStatus = 'InService'"
    gone_on = ENDPOINT.go_on("$endpoint_error")
    moved = f"{serving} and $described.EndpointConfigName = $config_name"
    record = {
        "chosen": jsonata("$merge([$chosen, {$endpoint_step: $candidate}])"),
        "endpoint": jsonata(
            "$merge([$endpoint, {'status': 'InService', 'why': $candidate.why, "
            "'instance_type': $candidate.instance_type, 'instance_count': "
            "$instances, 'config': $config_name, 'model': $model_name}"
            f"{reported(scaling, VARIANT)}, {OF_SERVERLESS}])"
        ),
    }
    return merge(
        wait(WAIT, POLL_SECONDS, next_state=SEE),
        task(
            SEE,
            DESCRIBE,
            {"EndpointName": NAME},
            retries=[retry(*SAGEMAKER_SDK_ERRORS)],
            timeout_seconds=120,
            assign={
                "polls": jsonata("$polls + 1"),
                "found": jsonata("$states.result.EndpointStatus"),
                "described": jsonata("$states.result"),
                "endpoint_error": {
                    "Error": "EndpointFailed",
                    "Cause": jsonata(
                        "$exists($states.result.FailureReason) ? $states.result.FailureReason "
                        ": 'SageMaker gave no reason'"
                    ),
                },
            },
            log="endpoint",
            log_name=NAME,
            next_state=IN_SERVICE if scaling else SERVES,
        ),
        register(scaling, VARIANT, NAME, next_state=SERVES) if scaling else {},
        decide(
            SERVES,
            ("$update_refused", ENDPOINT.next_candidate),
            (f"{moved} and $endpoint_step = 'knn_endpoint'", SMOKE_TEST, record),
            (moved, SMOKE_TEST_SCORING, record),
            (
                f"$contains($endpoint_error.Cause, {NO_CAPACITY}) and $described.EndpointStatus "
                "in ['Failed', 'UpdateRollbackFailed']",
                REMOVE,
                gone_on[1],
            ),
            (f"$contains($endpoint_error.Cause, {NO_CAPACITY}) and {serving}", *gone_on),
            (
                f"$polls < {MAXIMUM_POLLS} and $not($described.EndpointStatus in "
                "['InService', 'Failed', 'UpdateRollbackFailed', 'OutOfService', 'Deleting'])",
                WAIT,
            ),
            otherwise=EXPLAIN,
            assign={"failure": _not_serving()},
        ),
    )


def _catch_missing(state: str) -> State:
    return {
        "ErrorEquals": ["States.TaskFailed"],
        "Assign": {"failure": failure(state, "endpoint", NAME)},
        "Next": MISSING,
    }


def _stuck(state: str) -> State:
    minutes = MAXIMUM_POLLS * POLL_SECONDS // 60
    return failed(
        state,
        "EndpointBusyError",
        f"'the endpoint ' & $endpoint.name & ' has been ' & $found & ' for {minutes} minutes: wait until it is "
        "InService, or delete it, and start the execution again'",
    )


def _not_serving() -> State:
    return failed(
        SEE,
        "EndpointFailed",
        "'the endpoint ' & $endpoint.name & ' is ' & $described.EndpointStatus & ' with configuration ' & "
        "$described.EndpointConfigName & ' instead of InService with ' & $config_name & ': ' & "
        "$endpoint_error.Cause",
    )
