"""Words and bytes of arrays where they lie, aligned or not, and the bits of words: what numba has no function
for, as single instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
WINDOW = 128
"""Bytes that are copied at once, where what is behind them is overwritten later."""
ENTRY = 9
"""Bytes of a map entry's key ``values`` and the tag of what it holds."""
ENTRY_WORD = np.uint64(int.from_bytes(b"\x0a\x06values", "little"))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return builder.gep(view.data, [index])


def _copy(_: Any, out: Any, to: Any, source: Any, at: Any, size: Any) -> Any:
    """``out[to : to + size] = source[at : at + size]``, of bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        origin = _pointer(context, builder, signature.args[2], arguments[2], arguments[3])
        memcpy: Any = cgutils.raw_memcpy
        memcpy(builder, target, origin, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(out, types.int64, source, types.int64, types.int64), generate


def _copy_window(_: Any, out: Any, to: Any, source: Any, at: Any) -> Any:
    """Copy ``WINDOW`` bytes, quicker than some."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        origin = _pointer(context, builder, signature.args[2], arguments[2], arguments[3])
        memcpy: Any = cgutils.raw_memcpy
        memcpy(builder, target, origin, ir.Constant(ir.IntType(64), WINDOW), 1)
        return context.get_dummy_value()

    return types.void(out, types.int64, source, types.int64), generate


def _store(bits: int, kind: Any) -> Any:
    def store(_: Any, out: Any, at: Any, word: Any) -> Any:
        """Write that many bits, the lowest byte first."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
            builder.store(arguments[2], builder.bitcast(pointer, ir.IntType(bits).as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(out, types.int64, kind), generate

    return store


def _load(bits: int, result: Any) -> Any:
    def load(_: Any, source: Any, at: Any) -> Any:
        """Read that many bits, the lowest byte first."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
            return builder.load(builder.bitcast(pointer, ir.IntType(bits).as_pointer()), align=1)

        return result(source, types.int64), generate

    return load


def _lowest_bit(_: Any, word: Any) -> Any:
    """Return the number of the lowest bit that is set, 64 if none is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _leading_zeros(_: Any, word: Any) -> Any:
    """Return how many bits are above the highest one that is set, 64 if none is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _bits_set(_: Any, word: Any) -> Any:
    """Return how many bits are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


copy: Any = intrinsic(_copy)
copy_window: Any = intrinsic(_copy_window)
store_word: Any = intrinsic(_store(32, types.uint32))
store_double: Any = intrinsic(_store(64, types.uint64))
load_word: Any = intrinsic(_load(32, types.uint32))
load_double: Any = intrinsic(_load(64, types.uint64))
lowest_bit: Any = intrinsic(_lowest_bit)
bits_set: Any = intrinsic(_bits_set)
leading_zeros: Any = intrinsic(_leading_zeros)


def compiled(function: Callable[..., Any]) -> Any:
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # there is no folder that a cache can be written to
        return numba.njit(nogil=True, error_model="numpy")(function)


def _copy_short(out: Bytes, to: int, source: Bytes, at: int, size: int) -> None:
    """Copy bytes that are mostly few; up to ``WINDOW`` bytes behind them are overwritten."""
    if size <= WINDOW and at + WINDOW <= len(source):
        copy_window(out, to, source, at)
    else:
        copy(out, to, source, at, size)


copy_short = compiled(_copy_short)
