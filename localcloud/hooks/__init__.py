"""Every patch of the emulator, put in place once at start.

Each module changes one service. ``localcloud.hooks.binding`` asserts every name that is touched; the
contract tests in tests/unit/localcloud check what the patches are for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from localcloud import kept
from localcloud.hooks.binding import HookError, check_version

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

__all__ = ["HookError", "check_version", "emulator", "install"]


def emulator() -> Any:
    """The emulator's ASGI application; importing it reads the environment."""
    return importlib.import_module("ministack.app").app


def install(cloud: Cloud) -> None:
    """Put every patch in place.

    Raises
    ------
    HookError
        The emulator is not the one that the patches were written for.
    """
    from localcloud.hooks import (
        alarms,
        apigateway,
        bundles,
        cloudformation,
        eventbridge,
        firehose,
        functions,
        glue,
        http,
        layers,
        metrics,
        properties,
        s3,
        schedules,
        stepfunctions,
    )

    http.install(cloud)
    s3.install()
    functions.install()
    bundles.install(kept.FOLDER / "packages")
    layers.install()
    eventbridge.install()
    glue.install(cloud.glue)
    cloudformation.install(cloud)
    properties.install()
    apigateway.install()
    firehose.install()
    metrics.install()
    alarms.install()
    schedules.install(cloud)
    stepfunctions.install(cloud)
