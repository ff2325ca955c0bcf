"""The services' state on disk, written as it changes and not only when the server stops.

The emulator writes the state of its services at a clean stop. ``StateSaver`` writes it all along: of the
service that a request was for before the request is answered, of all others from a thread soon after. A
service whose state is large is looked at less often, and so are all of them together, so that saving takes
about a twentieth of the time; what a server that is killed has not written by then is lost, and the next
start says so. That of a cloud which ends with the process that owns it is written at its stop alone.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcloud.home import Home, write_whole
from localcloud.hooks.binding import FUNCTION, find, replace

_SHARE = 20
"""A service, or all of them, is looked at again when this many times the processor time that it took has
passed: time that other programs took says nothing of the state.
"""
_SWEEP_SECONDS = 1.0
_ATTEMPTS = 10
"""How often a state is read at the end, when what goes on in threads may still change it."""
_STATE_KEYS = {
    "states": "stepfunctions",
    "events": "eventbridge",
    "monitoring": "cloudwatch",
    "logs": "cloudwatch_logs",
}
"""Signing scope → name of the state, where they differ."""


@dataclass
class _Watched:
    """What is known of one service's state."""

    fingerprint: int | None = None
    due: float = 0.0


class StateSaver:
    """Writes the state of the emulator's services when it has changed; safe to use from any thread.

    Parameters
    ----------
    all_along
        Whether to write before the server stops.
    """

    def __init__(self, home: Home, *, all_along: bool = True) -> None:
        self._all_along = all_along
        self._marker = home.unsaved_marker
        self._getters = find("ministack.app", "_build_persistence_save_dict", FUNCTION)
        self._folder = home.services
        self._format = find("ministack.core.persistence", "_state_format_version", FUNCTION)
        self._as_json = find("ministack.core.persistence", "_json_default", FUNCTION)
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._sweep, name="localcloud-state", daemon=True)
        replace("ministack.app", "save_all", ("services",), lambda _original: self._save_all)

    def start(self) -> None:
        """Begin to save; call it when the emulator has loaded what was saved before."""
        logging.getLogger("persistence").setLevel(logging.WARNING)  # a line each time would bury the others
        _fail_lost_runs()
        self._touch(datetime.now(UTC))
        if self._all_along:
            self._thread.start()

    def close(self) -> None:
        """Stop saving all along; the emulator saves what is left when it stops."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def due(self, scope: str) -> str | None:
        """The state to write before a request signed for ``scope`` is answered; None if it can wait.

        Every other state is looked at soon as well: what one service does may change others.
        """
        if not self._all_along:
            return None
        self._wake.set()
        key = _STATE_KEYS.get(scope, scope)
        return key if time.monotonic() >= self._watched.get(key, _Watched()).due else None

    def save(self, key: str) -> None:
        """Write one service's state, if it has changed."""
        getter = self._getters().get(key)
        if getter is not None:
            self._check(key, getter)

    def _sweep(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            began, complete, took = datetime.now(UTC), True, time.thread_time()
            running = _executions_run()
            for key, getter in self._getters().items():
                if self._closing.is_set():
                    return
                if time.monotonic() >= self._watched.get(key, _Watched()).due:
                    complete &= self._check(key, getter)
                else:
                    complete = False
                    self._wake.set()
            if complete:
                self._touch(began)
            if running:  # they change state without a request
                self._wake.set()
            self._closing.wait(max(_SWEEP_SECONDS, _SHARE * (time.thread_time() - took)))

    def _save_all(self, services: Mapping[str, Callable[[], Any]]) -> None:
        """Write what has changed, in the place of the emulator's function, which writes everything."""
        for key, getter in services.items():
            for _ in range(_ATTEMPTS):
                if self._check(key, getter):
                    break

    def _check(self, key: str, getter: Callable[[], Any]) -> bool:
        """Write a service's state if it has changed; return whether it could be read."""
        with self._lock:
            took = time.thread_time()
            watched = self._watched.setdefault(key, _Watched())
            try:
                state = getter()
                # What is written once, at the end, is not compared: that takes as long as writing it.
                fingerprint = hash(json.dumps(state, default=self._short)) if self._all_along else None
                if state is not None and (fingerprint is None or fingerprint != watched.fingerprint):
                    self._write(key, state)
                    watched.fingerprint = fingerprint
            except RuntimeError:  # changed while it was read: it is looked at again at once
                self._wake.set()
                return False
            watched.due = time.monotonic() + _SHARE * (time.thread_time() - took)
        return True

    def _write(self, key: str, state: Any) -> None:
        """Write as the emulator's own ``save_state`` does, which takes json's encoder in Python for it and
        five times as long.
        """
        document = {"__ministack_format__": self._format(key), "payload": state}
        try:
            write_whole(self._folder / f"{key}.json", json.dumps(document, default=self._as_json).encode())
        except OSError as error:
            logging.getLogger("persistence").error("the state of %s can't be written: %s", key, error)

    def _short(self, value: Any) -> Any:
        """For the fingerprint, bytes stand for themselves by their hash, which Python keeps with them."""
        return hash(value) if isinstance(value, bytes) else self._as_json(value)

    def _touch(self, saved: datetime) -> None:
        """Say until when every change is on disk."""
        self._marker.write_text(saved.isoformat(timespec="milliseconds"))


def _executions_run() -> bool:
    executions = find("ministack.services.stepfunctions", "_executions", object)
    return any(execution.get("status") == "RUNNING" for execution in list(executions._data.values()))


def _fail_lost_runs() -> None:
    """Fail the Glue runs that were under way when the server was killed: no process does them any more."""
    runs = find("ministack.services.glue", "_job_runs", object)
    for job_runs in list(runs._data.values()):
        for run in job_runs:
            if run.get("JobRunState") in ("STARTING", "RUNNING", "STOPPING", "WAITING"):
                run |= {"JobRunState": "FAILED", "ErrorMessage": "the local cloud was killed during the run"}


def what_was_lost(marker: Path) -> str | None:
    """The sentence for a start in a folder whose server was killed; None if it was stopped."""
    try:
        saved = marker.read_text().strip()
    except FileNotFoundError:
        return None
    return (
        f"the local cloud of this folder was killed and not stopped: what services other than S3 and SageMaker "
        f"changed after {saved or 'an unknown time'} may be lost, and executions and Glue runs that were under "
        "way have failed"
    )
