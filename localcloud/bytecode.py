"""Compiled modules in the form in which Python keeps them, for code that each process would compile anew."""

from __future__ import annotations

import importlib.util
import marshal

_UNCHECKED_HASH = (1).to_bytes(4, "little")
"""Of a compiled module: it goes by its source's hash, which nobody compares (PEP 552)."""


def compiled_module(source: bytes, file: str) -> bytes | None:
    """What Python keeps of a module; None if its source can't be compiled, which who imports it is told."""
    try:
        code = compile(source, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source)
    return header + marshal.dumps(code)
