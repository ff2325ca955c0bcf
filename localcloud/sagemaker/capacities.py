"""How many instances each variant has: at the start, after scaling, and kept when a configuration changes.

Sources: the API models of UpdateEndpoint (``RetainAllVariantProperties``) and
UpdateEndpointWeightsAndCapacities; SageMaker developer guide, "Update endpoints that use auto scaling".
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.faults import ServiceFault

Variants = list[dict[str, Any]]
TARGET = "scalable-target"
"""Kind of the records of Application Auto Scaling's targets, whose keys are resource ids."""
_KEPT = {"DesiredInstanceCount": "InitialInstanceCount", "DesiredWeight": "InitialVariantWeight"}
_RESOURCE = re.compile(r"endpoint/([A-Za-z0-9-]{1,63})/variant/([A-Za-z0-9-]{1,63})")


def resource_id(endpoint: str, variant: str) -> str:
    """What Application Auto Scaling calls an endpoint's variant."""
    return f"endpoint/{endpoint}/variant/{variant}"


def resource_parts(resource: str) -> tuple[str, str] | None:
    """Endpoint and variant of a resource id; None if it isn't of that form."""
    match = _RESOURCE.fullmatch(resource)
    return None if match is None else (match[1], match[2])


def retained(old: Variants, new: Variants, parameters: Mapping[str, Any]) -> Variants:
    """The new configuration's variants, with what an update keeps of those of the same name."""
    if not parameters.get("RetainAllVariantProperties"):
        return new
    excluded = {
        entry["VariantPropertyType"] for entry in parameters.get("ExcludeRetainedVariantProperties", [])
    }
    running = {variant["VariantName"]: variant for variant in old}
    return [
        variant
        | {
            key: running[variant["VariantName"]][key]
            for kept, key in _KEPT.items()
            if kept not in excluded
            and "ServerlessConfig" not in variant
            and key in running.get(variant["VariantName"], {})
        }
        for variant in new
    ]


def changed(variants: Variants, desired: Iterable[Mapping[str, Any]]) -> Variants:
    """The variants with the weights and counts of ``DesiredWeightsAndCapacities``.

    Raises
    ------
    ServiceFault
        ``ValidationException``: there is no such variant, or it is serverless.
    """
    after = {variant["VariantName"]: copy.deepcopy(variant) for variant in variants}
    for wish in desired:
        name = wish["VariantName"]
        if name not in after:
            raise ServiceFault("ValidationException", f'Could not find variant "{name}".')
        if "DesiredInstanceCount" in wish and "ServerlessConfig" in after[name]:
            raise ServiceFault(
                "ValidationException", f'The variant "{name}" is serverless: it has no instances.'
            )
        for kept, key in _KEPT.items():
            if kept in wish:
                after[name][key] = wish[kept]
    return list(after.values())


def check_scaled(old: Variants, new: Variants, scaled: Iterable[str]) -> None:
    """Refuse to remove a variant, or to change its instance type, while it is a scalable target.

    Raises
    ------
    ServiceFault
        ``ValidationException``, in the service's words.
    """
    types = {variant["VariantName"]: variant.get("InstanceType") for variant in new}
    before = {variant["VariantName"]: variant.get("InstanceType") for variant in old}
    found = [name for name in scaled if name in before and types.get(name, "") != before[name]]
    if found:
        raise ServiceFault(
            "ValidationException",
            f'The variant(s) "{", ".join(found)}" must be deregistered as scalable targets with AWS Auto Scaling '
            "before they can be removed or have their instance type updated.",
        )
