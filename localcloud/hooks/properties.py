"""CloudFormation: properties that the emulator drops, of resources that it has.

A table's time to live and point-in-time recovery, and an HTTP API's CORS, which the emulator stores under the
template's names and looks for under the API's. A budget is kept in the Budgets service.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from localcloud.hooks.binding import FUNCTION, HookError, find

_PROVISIONERS = "ministack.services.cloudformation.provisioners"

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def install() -> None:
    """Put the properties through."""
    handlers = find(_PROVISIONERS, "_RESOURCE_HANDLERS", dict)
    _after(handlers, "AWS::DynamoDB::Table", _table_settings())
    _after(handlers, "AWS::ApiGatewayV2::Api", _cors())
    if "AWS::Budgets::Budget" in handlers:
        raise HookError(
            "the emulator knows AWS::Budgets::Budget now; drop it from localcloud/hooks/properties.py"
        )
    handlers["AWS::Budgets::Budget"] = _budget(find(_PROVISIONERS, "_physical_name", FUNCTION))


def _after(
    handlers: dict[str, Any], resource_type: str, settle: Callable[[str, Properties, Properties], None]
) -> None:
    """Call ``settle(physical id, old properties, new properties)`` after a creation or an update."""
    handler = handlers.get(resource_type)
    if handler is None or not {"create", "update"} <= handler.keys():
        raise HookError(
            f"{_PROVISIONERS}._RESOURCE_HANDLERS has no creation and update of {resource_type} any more"
        )
    create, update = handler["create"], handler["update"]

    def create_whole(logical_id: str, props: Properties, *rest: Any) -> Created:
        created: Created = create(logical_id, props, *rest)
        settle(created[0], {}, props)
        return created

    def update_whole(physical_id: str, old: Properties, new: Properties, *rest: Any, **named: Any) -> Created:
        updated: Created = update(physical_id, old, new, *rest, **named)
        settle(updated[0], old, new)
        return updated

    handler["create"], handler["update"] = create_whole, update_whole


def _table_settings() -> Callable[[str, Properties, Properties], None]:
    module = "ministack.services.dynamodb"
    set_ttl = find(module, "_update_ttl", FUNCTION)
    set_recovery = find(module, "_update_continuous_backups", FUNCTION)

    def settle(name: str, old: Properties, new: Properties) -> None:
        before, after = old.get("TimeToLiveSpecification"), new.get("TimeToLiveSpecification")
        if before != after:
            setting = after or {**(before or {}), "Enabled": False}
            enabled = str(setting.get("Enabled", True)).lower() == "true"
            specification = {"AttributeName": setting.get("AttributeName"), "Enabled": enabled}
            _check(set_ttl({"TableName": name, "TimeToLiveSpecification": specification}))
        before, after = (props.get("PointInTimeRecoverySpecification") for props in (old, new))
        if before != after:
            enabled = str((after or {}).get("PointInTimeRecoveryEnabled", False)).lower() == "true"
            specification = {"PointInTimeRecoveryEnabled": enabled}
            _check(set_recovery({"TableName": name, "PointInTimeRecoverySpecification": specification}))

    return settle


def _cors() -> Callable[[str, Properties, Properties], None]:
    apis = find("ministack.services.apigateway", "_apis", object)

    def settle(api_id: str, old: Properties, new: Properties) -> None:
        given = new.get("CorsConfiguration")
        if given and api_id in apis:
            settings = {name[:1].lower() + name[1:]: value for name, value in given.items()}
            if "maxAge" in settings:
                settings["maxAge"] = int(settings["maxAge"])
            if "allowCredentials" in settings:
                settings["allowCredentials"] = str(settings["allowCredentials"]).lower() == "true"
            apis[api_id]["corsConfiguration"] = settings

    return settle


def _budget(physical_name: Callable[..., str]) -> dict[str, Any]:
    module = "ministack.services.budgets"
    make, drop = find(module, "_create_budget", FUNCTION), find(module, "_delete_budget", FUNCTION)

    def create(logical_id: str, props: Properties, stack_name: str) -> Created:
        budget = dict(props.get("Budget") or {})
        budget.setdefault("BudgetName", physical_name(stack_name, logical_id, max_len=100))
        if "BudgetLimit" in budget:  # numbers in a template, text in the API
            budget["BudgetLimit"] = {name: str(value) for name, value in budget["BudgetLimit"].items()}
        entries = props.get("NotificationsWithSubscribers", [])
        _check(make({"Budget": budget, "NotificationsWithSubscribers": entries}))
        return budget["BudgetName"], {}

    def update(physical_id: str, old: Properties, new: Properties, stack_name: str) -> Created:
        drop({"BudgetName": physical_id})
        named = {**(new.get("Budget") or {}), "BudgetName": physical_id}
        return create(physical_id, {**new, "Budget": named}, stack_name)

    return {
        "create": create,
        "update": update,
        "delete": lambda physical_id, props: drop({"BudgetName": physical_id}) and None,
    }


def _check(answer: Any) -> None:
    """The emulator fails a resource on ValueError, with its text as the reason."""
    status, _, body = answer
    if status >= 400:
        try:
            document = json.loads(body)
        except ValueError:
            document = {}
        raise ValueError(document.get("message") or document.get("Message") or repr(body))
