"""Take hold of the emulator's private names, and say clearly when one has moved.

``ministack`` is pinned, and everything that is changed in it goes through these functions: a name
that is gone, or a function that takes other parameters, stops the server at start instead of
misbehaving later.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any

from localcloud.home import LocalCloudError

EMULATOR_VERSION = "1.5.33"
FUNCTION: type = types.FunctionType
"""The kind, for `find`, of what is called."""


class HookError(LocalCloudError):
    """The emulator is not the one that the hooks were written for."""


def check_version() -> None:
    """Raise HookError unless the pinned emulator is installed."""
    found = importlib.metadata.version("ministack")
    if found != EMULATOR_VERSION:
        raise HookError(
            f"ministack {found} is installed, but localcloud/hooks patches private names of "
            f"{EMULATOR_VERSION}; install that version, or check every hook and change EMULATOR_VERSION"
        )


def find(module: str, name: str, kind: type | tuple[type, ...]) -> Any:
    """The object ``name`` of an emulator module.

    Raises
    ------
    HookError
        It is not there, or not of that kind.
    """
    holder = importlib.import_module(module)
    if not hasattr(holder, name):
        raise HookError(f"{module} has no {name} any more; the hook on it must be rewritten")
    found = getattr(holder, name)
    if not isinstance(found, kind):
        raise HookError(f"{module}.{name} is a {type(found).__name__} now, the hook expects {kind}")
    return found


def replace(
    module: str,
    name: str,
    parameters: Sequence[str],
    make: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> None:
    """Put ``make(original)`` in the place of a function of the emulator.

    Parameters
    ----------
    parameters
        The names of the parameters that the original takes.

    Raises
    ------
    HookError
        There is no such function, or it takes other parameters.
    """
    original = find(module, name, FUNCTION)
    found = list(inspect.signature(original).parameters)
    if found != list(parameters):
        raise HookError(
            f"{module}.{name} takes ({', '.join(found)}) now, the hook expects ({', '.join(parameters)})"
        )
    setattr(importlib.import_module(module), name, make(original))


def edit(module: str, name: str, changes: Sequence[tuple[str, str]]) -> None:
    """Replace passages of a source text that the emulator keeps in a string.

    Raises
    ------
    HookError
        A passage does not occur exactly once.
    """
    text: str = find(module, name, str)
    for old, new in changes:
        if text.count(old) != 1:
            raise HookError(f"{module}.{name} holds {text.count(old)} times, not once: {old.strip()!r}")
        text = text.replace(old, new)
    setattr(importlib.import_module(module), name, text)
