"""The logistic function in float32 without a call, so that the compiler computes it for many scores at once.

``exp`` as in Cephes (Moshier, ``expf``): with n the nearest integer to x / ln 2, ``e^x = 2^n e^r``, where
``r = x - n ln 2`` is small enough for a polynomial, and ln 2 is in two parts so that r is exact.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_LIMIT = np.float32(87)
"""Beyond, float32 ends, and the function is 0 or 1."""
_BITS = np.float32(1.4426950408889634)  # 1 / ln 2
_LN_2 = np.float32(0.693359375), np.float32(-2.12194440e-4)
_POLYNOMIAL = tuple(
    np.float32(c)
    for c in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)
_ONE = np.float32(1)
_HALF = np.float32(0.5)


def _power_of_two(_: Any, exponent: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        biased = builder.add(builder.fptosi(arguments[0], integer), ir.Constant(integer, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(integer, 23)), ir.FloatType())

    return types.float32(types.float32), generate


power_of_two: Any = intrinsic(_power_of_two)
"""(float32 integer, -126 to 127) -> 2 to its power."""


def _logistic(score: np.float32) -> Any:
    """1 / (1 + e^-score); NaN stays NaN."""
    x = -score
    x = min(x, _LIMIT)
    x = max(x, -_LIMIT)
    n = np.floor(x * _BITS + _HALF)
    r = x - n * _LN_2[0] - n * _LN_2[1]
    p = _POLYNOMIAL[0]
    p = p * r + _POLYNOMIAL[1]
    p = p * r + _POLYNOMIAL[2]
    p = p * r + _POLYNOMIAL[3]
    p = p * r + _POLYNOMIAL[4]
    p = p * r + _POLYNOMIAL[5]
    return _ONE / (_ONE + (p * r * r + r + _ONE) * power_of_two(n))


logistic: Any = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)(
    _logistic
)
