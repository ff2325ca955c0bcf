"""How many threads NumPy's matrix products use, and a way to make it one.

Ranking runs a Python thread per core, each with its own block of users; products that spread over all
cores as well then fight for them and everything takes several times as long. NumPy has no switch for
this, so the OpenBLAS that its wheels carry is asked directly. With another BLAS nothing is changed and
one thread ranks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_NAMES = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads")
_lock = threading.Lock()
_users = 0
_before = 1


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def single_threaded_products() -> Iterator[int]:
    """Make matrix products use one thread inside the block; yields how many Python threads pay off."""
    global _users, _before  # noqa: PLW0603 - the setting is the process's, so its memory is too
    functions = _thread_functions()
    if functions is None:
        yield 1
        return
    get, set_ = functions
    with _lock:
        if _users == 0:
            _before = get()
            set_(1)
        _users += 1
    try:
        yield cores()
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                set_(_before)


def _thread_functions() -> tuple[ctypes._NamedFuncPointer, ctypes._NamedFuncPointer] | None:
    # A symbol is looked up in the extension module and in what it was linked with.
    extension = sys.modules.get("numpy._core._multiarray_umath")
    if extension is None or extension.__file__ is None:
        return None
    library = ctypes.CDLL(extension.__file__)
    for name in _NAMES:
        if hasattr(library, name.format("set")):
            return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None
