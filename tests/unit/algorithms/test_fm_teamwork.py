"""Threads that share pieces of work inside compiled code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from algorithms.factorization_machines.teamwork import (
    PIECES,
    finish_piece,
    new_team,
    open_phase,
    take_piece,
    wait_for_phase,
    wait_until_done,
)


@numba.njit(nogil=True)
def run(leads: bool, team: np.ndarray, phases: int, done: np.ndarray, early: np.ndarray) -> None:
    """Count each piece of each phase, and those that began before the last phase was over."""
    opened = 0
    while opened < phases if leads else wait_for_phase(team, phases):
        if leads:
            open_phase(team)
            opened += 1
        while True:
            ticket = take_piece(team)
            if ticket < 0:
                break
            phase, piece = ticket // PIECES, ticket % PIECES
            if phase > 0 and done[phase - 1].sum() != PIECES:
                early[0] += 1
            done[phase, piece] += 1
            finish_piece(team)
        if leads:
            wait_until_done(team)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_piece_is_done_once_and_phases_follow_each_other(threads: int) -> None:
    phases = 20_000
    done = np.zeros((phases, PIECES), np.int64)
    early = np.zeros(1, np.int64)
    arguments = (new_team(), phases, done, early)
    run(True, new_team(), 0, done, early)  # compiled before the threads race
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(run, False, *arguments) for _ in range(threads - 1)]
        run(True, *arguments)
        for other in others:
            other.result()
    assert (done == 1).all()
    assert early[0] == 0


def test_a_thread_that_comes_late_finds_nothing_to_do() -> None:
    done, early = np.zeros((50, PIECES), np.int64), np.zeros(1, np.int64)
    team = new_team()
    run(True, team, 50, done, early)
    run(False, team, 50, done, early)
    assert (done == 1).all()
