"""An endpoint without instances: by its own setting, or when no instance is left; and what else may become
of it then.
"""

from __future__ import annotations

from fmrec.instances.serverless import INSTANCE_TYPE
from stacks.settings import Settings
from stacks.workflow.endpoint_changes import ENDPOINT, change
from stacks.workflow.names import VARIANT
from stacks.workflow.state_builders import States, decide, jsonata, merge, remember
from stacks.workflow.training import tags

SERVERLESS_QUESTION = "Can the endpoint be serverless?"
SERVERLESS = "Configure a serverless endpoint"
WITHOUT = "Continue without an endpoint"
SERVERLESS_NEED = f"{ENDPOINT.planned}.needs.serverless_memory_mb"
"""`fmrec.instances.memory.serverless_memory_mb`, in the plan."""
IS_SERVERLESS = f"$candidate.instance_type = '{INSTANCE_TYPE}'"


def serverless(*, next_state: str) -> States:
    """Configure what the candidate says: memory, and requests at a time."""
    # "-endpoint-serverless" would be more than SageMaker takes after the longest name of a run.
    config_name = jsonata(
        f"$job_prefix & '-serverless-' & $string($count($refusals[step = {ENDPOINT.key}]) + 1)"
    )
    return change(
        SERVERLESS,
        "CreateServerlessConfig",
        {
            "EndpointConfigName": config_name,
            "ProductionVariants": [
                {
                    "VariantName": VARIANT,
                    "ModelName": jsonata("$model_name"),
                    "ServerlessConfig": {
                        "MemorySizeInMB": jsonata("$candidate.memory_mb"),
                        "MaxConcurrency": jsonata("$candidate.maximum_concurrency"),
                    },
                }
            ],
            "Tags": tags(),
        },
        assign={
            "config_name": config_name,
            "polls": 0,
            "instances": 0,
            "update_refused": False,
            "serverless_tried": True,
        },
        next_state=next_state,
    )


def last_resort(settings: Settings, *, next_state: str) -> States:
    """When no instance is left: no endpoint, one without instances, waiting, or failure."""
    resorts = settings.instances.last_resort
    if resorts.endpoint == "batch-only":
        why = "'no instance was left for it, and the setting is to go on without; what it served, it serves still'"
        return remember(
            WITHOUT,
            {"endpoint": jsonata(f"$merge([$endpoint, {{'status': 'BatchOnly', 'why': {why}}}])")},
            next_state=next_state,
        )
    if resorts.endpoint != "serverless":
        return ENDPOINT.last_resort_states(resorts.endpoint, resorts.wait_minutes)
    return merge(
        decide(
            SERVERLESS_QUESTION,
            (
                # An endpoint on instances can't be turned into one without; the plan names no memory for a
                # model that the largest serverless endpoint doesn't hold.
                f"$not($serverless_tried) and ($found = 'Missing' or $found_serverless) "
                f"and $type({SERVERLESS_NEED}) = 'number'",
                SERVERLESS,
                {
                    "candidate": {
                        "instance_type": INSTANCE_TYPE,
                        "instance_count": 0,
                        "memory_mb": jsonata(f"$max([{resorts.serverless_memory_mb}, {SERVERLESS_NEED}])"),
                        "maximum_concurrency": resorts.serverless_concurrency,
                        "why": "no instance was left, and the setting is to go on without instances",
                    },
                },
            ),
            otherwise=ENDPOINT.give_up,
        ),
        ENDPOINT.none_left(),
    )
