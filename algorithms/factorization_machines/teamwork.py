"""Threads that share phases of work inside compiled code, without waiting for one that isn't running.

A phase is cut into a fixed number of pieces that don't depend on each other; the next phase starts when
all of them are done. Every thread, the leader too, takes the next piece that nobody has: where other
programs keep a thread from running, the others do its share. (With one share a thread, as in OpenMP's
static loops, each phase waits for the scheduler, and training on a busy machine is a hundred times slower.)

State is an int64 array on cache lines of their own: tickets taken, pieces done, phases opened. Tickets
count on through all phases, and one can be taken only in an opened phase; as the leader opens a phase
when the last one is done, a piece always belongs to the phase that is open.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

PIECES = 8
"""Pieces of a phase: enough to even out two to eight threads, few enough that taking one costs nothing."""

_LINE = 16  # int64 numbers of two cache lines, as processors fetch pairs of lines
_TAKEN, _DONE, _OPENED = 0, _LINE, 2 * _LINE
_SPINS = 64


def new_team() -> NDArray[np.int64]:
    """State of a team with no phase opened."""
    return np.zeros(3 * _LINE, np.int64)


def _element(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    pointer: Any = cgutils.get_item_pointer
    return pointer(context, builder, signature.args[0], array, [arguments[1]], False)


def _atomic_load(_: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_element(context, builder, signature, arguments), "acquire", 8)

    return types.int64(array, index), generate


def _atomic_add(_: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", _element(context, builder, signature, arguments), one, "seq_cst")

    return types.int64(array, index), generate


def _compare_and_swap(_: Any, array: Any, index: Any, expected: Any, new: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _element(context, builder, signature, arguments)
        result = builder.cmpxchg(pointer, arguments[2], arguments[3], "seq_cst", "seq_cst")
        return builder.extract_value(result, 1)

    return types.boolean(array, index, types.int64, types.int64), generate


atomic_load: Any = intrinsic(_atomic_load)
atomic_add: Any = intrinsic(_atomic_add)
compare_and_swap: Any = intrinsic(_compare_and_swap)
sched_yield: Any = types.ExternalFunction("sched_yield", types.int32())


def _open_phase(team: NDArray[np.int64]) -> None:
    """Let the next phase begin; only the leader, and only when the last one is done."""
    atomic_add(team, _OPENED)


def _take_piece(team: NDArray[np.int64]) -> int:
    """Return a ticket, phase * PIECES + piece, or -1 if none is left in the phases opened."""
    while True:
        ticket: int = atomic_load(team, _TAKEN)
        if ticket >= atomic_load(team, _OPENED) * PIECES:
            return -1
        if compare_and_swap(team, _TAKEN, ticket, ticket + 1):
            return ticket


def _finish_piece(team: NDArray[np.int64]) -> None:
    """Say that a piece taken is done."""
    atomic_add(team, _DONE)


def _wait_until_done(team: NDArray[np.int64]) -> None:
    """Wait until all pieces of the phases opened are done."""
    spins = 0
    while atomic_load(team, _DONE) < atomic_load(team, _OPENED) * PIECES:
        spins += 1
        if spins > _SPINS:
            sched_yield()


def _wait_for_phase(team: NDArray[np.int64], phases: int) -> bool:
    """Wait for a ticket to be there; False when all of ``phases`` phases are given out."""
    spins = 0
    while True:
        ticket = atomic_load(team, _TAKEN)
        if ticket >= phases * PIECES:
            return False
        if ticket < atomic_load(team, _OPENED) * PIECES:
            return True
        spins += 1
        if spins > _SPINS:
            sched_yield()


open_phase = numba.njit(cache=True, nogil=True)(_open_phase)
take_piece = numba.njit(cache=True, nogil=True)(_take_piece)
finish_piece = numba.njit(cache=True, nogil=True)(_finish_piece)
wait_until_done = numba.njit(cache=True, nogil=True)(_wait_until_done)
wait_for_phase = numba.njit(cache=True, nogil=True)(_wait_for_phase)
