"""Several float32 numbers that compiled code computes with at once, held in the processor's registers.

A loop over an array's elements is vectorised by the compiler, but sums that it adds to again and again go to
memory and back each time, as it can't know that an array's length fits the registers. Lanes are values like
numbers: ``load`` takes some neighbouring elements of a matrix row, the operators work on each of them, and
``store`` writes them. What takes ``like`` works on lanes as many as it has, so that one formula serves whole
blocks and what is left over of a row.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as numba_cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.core.datamodel.registry import register_default
from numba.core.typing import templates as numba_templates
from numba.extending import intrinsic, lower_builtin
from numpy.typing import NDArray

cgutils: Any = numba_cgutils
templates: Any = numba_templates
"""Numba's functions that have no types."""

WIDE, NARROW = 64, 16
"""Lanes of a block; 16 are one register where registers are widest, and one cache line."""
LINE = 16
"""float32 numbers of a cache line."""

_FAST = ("reassoc", "contract", "nsz", "arcp")
"""As for the kernels: NaN and infinity keep their meaning."""


class Lanes(types.Type):
    """Numba's type of ``width`` float32 numbers; if ``partial``, some of them may lie behind a row's end."""

    def __init__(self, width: int, partial: bool) -> None:
        self.width, self.partial = width, partial
        super().__init__(name=f"float32x{width}{'partial' if partial else ''}")

    @property
    def vector(self) -> Any:
        return ir.VectorType(ir.FloatType(), self.width)


@register_default(Lanes)
class _LanesModel(PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, lanes.vector)  # type: ignore[no-untyped-call]


def _zeros(lanes: Lanes) -> Any:
    def typed(_: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return ir.Constant(lanes.vector, [0.0] * lanes.width)

        return lanes(), generate

    return intrinsic(typed)


wide: Any = _zeros(Lanes(WIDE, partial=False))
"""() -> lanes, all 0."""
narrow: Any = _zeros(Lanes(NARROW, partial=True))
"""() -> lanes, all 0; what lies behind a row's end is read as 0 and not written."""


def _call(builder: Any, name: str, result: Any, arguments: list[Any], fast: tuple[str, ...] = ()) -> Any:
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function_type, name), arguments, fastmath=fast
    )


def _spread(builder: Any, lanes: Lanes, value: Any) -> Any:
    """A vector of as many elements as there are lanes, each of them the value."""
    vector = ir.VectorType(value.type, lanes.width)
    index = ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, index)
    same = ir.Constant(ir.VectorType(ir.IntType(32), lanes.width), [0] * lanes.width)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), same)


def _place(context: Any, builder: Any, lanes: Lanes, matrix_type: Any, arguments: Any) -> tuple[Any, Any]:
    """The address of ``matrix[row, first]``, and which lanes lie before the row's end."""
    matrix = context.make_array(matrix_type)(context, builder, arguments[0])
    pointer = cgutils.get_item_pointer(context, builder, matrix_type, matrix, list(arguments[1:]), False)
    numbers = ir.VectorType(ir.IntType(64), lanes.width)
    left = builder.sub(cgutils.unpack_tuple(builder, matrix.shape)[1], arguments[2])
    within = builder.icmp_signed(
        "<", ir.Constant(numbers, list(range(lanes.width))), _spread(builder, lanes, left)
    )
    return builder.bitcast(pointer, lanes.vector.as_pointer()), within


def _load(_: Any, like: Any, matrix: Any, row: Any, first: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, within = _place(context, builder, like, matrix, arguments[1:])
        if not like.partial:
            return builder.load(place, align=4)
        name = f"llvm.masked.load.v{like.width}f32.p0"
        align = ir.Constant(ir.IntType(32), 4)
        return _call(builder, name, like.vector, [place, align, within, ir.Constant(like.vector, None)])

    return like(like, matrix, types.int64, types.int64), generate


def _store(_: Any, lanes: Any, matrix: Any, row: Any, first: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place, within = _place(context, builder, lanes, matrix, arguments[1:])
        if lanes.partial:
            name = f"llvm.masked.store.v{lanes.width}f32.p0"
            align = ir.Constant(ir.IntType(32), 4)
            _call(builder, name, ir.VoidType(), [arguments[0], place, align, within])
        else:
            builder.store(arguments[0], place, align=4)
        return context.get_dummy_value()

    return types.void(lanes, matrix, types.int64, types.int64), generate


def _prefetch(_: Any, like: Any, matrix: Any, row: Any, first: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, like, matrix, arguments[1:])[0]
        address = builder.bitcast(place, cgutils.voidptr_t)
        # For writing, keep in all cache levels, data.
        flags = [context.get_constant(types.int32, value) for value in (1, 3, 1)]
        for line in range(0, like.width, LINE):
            offset = context.get_constant(types.int64, 4 * line)
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), [builder.gep(address, [offset]), *flags])
        return context.get_dummy_value()

    return types.void(like, matrix, types.int64, types.int64), generate


def _at(_: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(array)(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, types.int64), generate


def _broadcast(_: Any, like: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, like, arguments[1])

    return like(like, types.float32), generate


def _square_root(_: Any, lanes: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, f"llvm.sqrt.v{lanes.width}f32", lanes.vector, list(arguments), _FAST)

    return lanes(lanes), generate


def _add_up(_: Any, lanes: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.vector.reduce.fadd.v{lanes.width}f32"
        zero = ir.Constant(ir.FloatType(), 0.0)
        return _call(builder, name, ir.FloatType(), [zero, arguments[0]], _FAST)

    return types.float32(lanes), generate


def _limited(_: Any, lanes: Any, limit: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, highest = arguments[0], _spread(builder, lanes, arguments[1])
        lowest = builder.fneg(highest)
        number = builder.select(builder.fcmp_ordered("<", number, lowest), lowest, number)
        return builder.select(builder.fcmp_ordered(">", number, highest), highest, number)

    return lanes(lanes, types.float32), generate


load: Any = intrinsic(_load)
"""(like, matrix, row, first) -> lanes: elements of ``matrix[row]`` from ``first`` on; float32."""
store: Any = intrinsic(_store)
"""(lanes, matrix, row, first): write elements of ``matrix[row]`` from ``first`` on."""
prefetch: Any = intrinsic(_prefetch)
"""(like, matrix, row, first): ask the processor for what ``load`` is to read. A hint: it never faults."""
at: Any = intrinsic(_at)
"""(array, index) -> ``array[index]`` of a contiguous array, where the index is known not to be negative."""
broadcast: Any = intrinsic(_broadcast)
"""(like, number) -> lanes, each of them the number."""
square_root: Any = intrinsic(_square_root)
add_up: Any = intrinsic(_add_up)
"""(lanes) -> their sum."""
limited: Any = intrinsic(_limited)
"""(lanes, number) -> each between minus the number and the number; NaN stays NaN."""


def zeros_on_lines(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros whose first element begins a cache line: lanes that lie across two lines take twice as long."""
    size = math.prod(shape)
    room = np.zeros(size + LINE, np.float32)
    start = -room.ctypes.data // 4 % LINE
    return room[start : start + size].reshape(shape)


class _Arithmetic(numba_templates.AbstractTemplate):
    def generic(self, arguments: Any, _: Any) -> Any:
        alike = all(isinstance(argument, Lanes) and argument == arguments[0] for argument in arguments)
        return templates.signature(arguments[0], *arguments) if alike else None


def _define(operation: Callable[[Any, Any], Any], instruction: str) -> None:
    """Let an operator work on each lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments, flags=_FAST)

    templates.infer_global(operation)(type(f"_{instruction}", (_Arithmetic,), {}))
    lower: Any = lower_builtin
    lower(operation, Lanes, Lanes)(generate)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")
