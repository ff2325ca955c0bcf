"""What becomes of the endpoint when no instance is left for it, by the settings."""

from __future__ import annotations

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


def last_resort(settings: Settings, *, attempt: str, next_state: str) -> States:
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
    config_name = jsonata("$job_prefix & '-endpoint-serverless'")
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
                    "serverless_tried": True,
                    "candidate": {
                        "instance_type": "serverless",
                        "instance_count": 0,
                        "why": "no instance was left, and the setting is to go on without instances",
                    },
                    "serverless_mb": jsonata(f"$max([{resorts.serverless_memory_mb}, {SERVERLESS_NEED}])"),
                },
            ),
            otherwise=ENDPOINT.give_up,
        ),
        change(
            SERVERLESS,
            "CreateServerlessConfig",
            {
                "EndpointConfigName": config_name,
                "ProductionVariants": [
                    {
                        "VariantName": VARIANT,
                        "ModelName": jsonata("$model_name"),
                        "ServerlessConfig": {
                            "MemorySizeInMB": jsonata("$serverless_mb"),
                            "MaxConcurrency": resorts.serverless_concurrency,
                        },
                    }
                ],
                "Tags": tags(),
            },
            assign={"config_name": config_name, "polls": 0, "instances": 0, "update_refused": False},
            next_state=attempt,
        ),
        ENDPOINT.none_left(),
    )
