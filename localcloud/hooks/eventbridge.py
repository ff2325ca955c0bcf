"""EventBridge and its Scheduler: a function that they invoke is run again if it fails.

Both invoke functions asynchronously, and Lambda runs an asynchronous invocation that failed again: twice by
default, after one and two minutes (here seconds). The emulator does so for S3 and for callers of its API, but
runs a function once for EventBridge.

Source: AWS Lambda developer guide, "How Lambda handles errors and retries with asynchronous invocation".
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from localcloud.hooks.binding import FUNCTION, find, replace

_LAMBDA = "ministack.services.lambda_svc"
logger = logging.getLogger("eventbridge")


def install() -> None:
    """Let EventBridge invoke functions as Lambda's own asynchronous invocations do."""
    replace("ministack.services.eventbridge", "_dispatch_to_lambda", ("arn", "payload"), _asynchronously)


def _asynchronously(_original: Callable[..., None]) -> Callable[..., None]:
    find_function = find(_LAMBDA, "_get_func_record_for_ref", FUNCTION)
    record_of = find(_LAMBDA, "_execution_record_for_config", FUNCTION)
    invoke = find(_LAMBDA, "invoke_async_with_retry", FUNCTION)

    def dispatch(arn: str, payload: str) -> None:
        function, config, name = find_function(arn)
        if not function or not config:
            logger.warning("EventBridge: function %s not found", name)
            return
        event: Any = json.loads(payload)
        invoke(record_of(function, config), event)

    return dispatch
