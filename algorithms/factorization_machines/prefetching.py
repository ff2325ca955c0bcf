"""Ask the processor for a matrix row before it is needed.

Rows of a large model come in random order, which no hardware prefetcher foresees, and waiting for them
is most of a mini-batch's time.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_LINE_ELEMENTS = 16
"""float32 values of a cache line."""


def _prefetch_element(_: Any, array: Any, row: Any, column: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        matrix = context.make_array(signature.args[0])(context, builder, arguments[0])
        get_item_pointer: Any = cgutils.get_item_pointer
        pointer = get_item_pointer(context, builder, signature.args[0], matrix, list(arguments[1:]), False)
        address = builder.bitcast(pointer, cgutils.voidptr_t)
        # Arguments: for writing, keep in all cache levels, data. A hint: it never faults.
        flags = [context.get_constant(types.int32, value) for value in (1, 3, 1)]
        integer = flags[0].type
        declare: Any = cgutils.get_or_insert_function
        function_type = ir.FunctionType(ir.VoidType(), [address.type, *[integer] * 3])
        builder.call(declare(builder.module, function_type, "llvm.prefetch.p0i8"), [address, *flags])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


prefetch_element: Any = intrinsic(_prefetch_element)


def _prefetch_row(matrix: NDArray[Any], row: int) -> None:
    """Ask for all of ``matrix[row]``; float32."""
    for column in range(0, matrix.shape[1], _LINE_ELEMENTS):
        prefetch_element(matrix, row, column)


prefetch_row: Any = numba.njit(cache=True, nogil=True)(_prefetch_row)
