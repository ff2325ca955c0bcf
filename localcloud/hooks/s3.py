"""S3: who is nobody may do what bucket policies allow everybody; a ranged read maps the file.

Source: Amazon S3 user guide, "How Amazon S3 authorizes a request": a request without a signature is an
anonymous one, to which only the bucket's own policy can give anything.
"""

from __future__ import annotations

import contextvars
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.hooks.binding import FUNCTION, find, replace

_MODULE = "ministack.services.s3"
_ranged: contextvars.ContextVar[bool] = contextvars.ContextVar("localcloud_ranged", default=False)


def install() -> None:
    """Refuse anonymous requests, and map files for GETs with a Range header."""
    replace(
        "ministack.core.iam_evaluator",
        "enforce",
        ("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"),
        _without_anonymous,
    )
    replace(_MODULE, "_get_object", ("bucket_name", "key", "headers", "query_params"), _note_range)
    replace(_MODULE, "_read_body", ("bucket_name", "key", "obj"), _mapped)


def _without_anonymous(original: Callable[..., Any]) -> Callable[..., Any]:
    """Judge a request to S3 that no key has signed by the bucket's policy; the emulator lets it pass."""
    module = "ministack.core.iam_evaluator"
    make_context, make_error = find(module, "EvalContext", type), find(module, "AuthError", type)
    policy_of = find(module, "_resource_policy", FUNCTION)
    evaluate = find(module, "evaluate_resource_policy", FUNCTION)

    def enforce(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        checked = original(access_key_id, iam_action, service, region, resource_arn, service_context)
        if service != "s3" or access_key_id or checked is not None:
            return checked
        context = make_context(
            principal_arn="anonymous",
            principal_type="Anonymous",
            principal_account="anonymous",
            action=iam_action,
            resource_arn=resource_arn,
            region=region,
            service_context={key.lower(): value for key, value in (service_context or {}).items()},
        )
        found = policy_of(service, resource_arn)
        if found is not None and evaluate(found[0], context).decision == "Allow":
            return None
        return make_error("AccessDenied", "Access Denied")

    return enforce


def _note_range(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_object(
        bucket_name: str, key: str, headers: dict[str, str], query_params: dict[str, Any] | None = None
    ) -> Any:
        token = _ranged.set("range" in headers)
        try:
            return original(bucket_name, key, headers, query_params)
        finally:
            _ranged.reset(token)

    return get_object


def _mapped(original: Callable[..., Any]) -> Callable[..., Any]:
    path_of = find(_MODULE, "_object_disk_path", FUNCTION)

    def read_body(bucket_name: str, key: str, obj: dict[str, Any]) -> Any:
        if not _ranged.get() or obj.get("body") is not None or not obj.get("size"):
            return original(bucket_name, key, obj)
        path = path_of(bucket_name, key)
        if path is None or not Path(path).is_file():
            return original(bucket_name, key, obj)
        with Path(path).open("rb") as file:
            # A slice of it is bytes, which is all that the caller does with it.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    return read_body
