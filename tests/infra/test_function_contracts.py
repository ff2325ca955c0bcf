"""States, functions and handlers speak of the same documents (`fmrec.execution.function_contracts`)."""

from __future__ import annotations

import importlib.util
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmrec.execution.function_contracts import ANSWERS, EVENTS, keys_of
from stacks.settings import Settings
from stacks.workflow import definition

ROOT = Path(__file__).resolve().parents[2]
RESORTS: list[dict[str, Any]] = [
    {},
    {"training": "wait", "transform": "wait", "endpoint": "wait"},
    {"endpoint": "batch-only"},
    {"endpoint": "fail"},
]
OUTSIDE = {
    "answer_requests",
    "delete_idle_endpoints",
    "erase_user",
    "land_events",
    "start_run",
    "store_events",
    "write_page",
}
"""Functions that no state invokes."""
WHOLE_ANSWER = re.compile(r"\{% \$states\.result\.Payload %\}")


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        if state["Type"] == "Map":
            yield from states(state["ItemProcessor"])


def machines() -> Iterator[dict[str, Any]]:
    for resort in RESORTS:
        yield definition(Settings.model_validate({"instances": {"last_resort": resort}}))


def invocations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(function, state's name, state) of every state that invokes a function."""
    from stacks.functions import pascal_case

    functions = {pascal_case(name): name for name in EVENTS}
    for machine in machines():
        for name, state in states(machine):
            if state.get("Resource") == "${InvokeFunction}":
                yield functions[state["Arguments"]["FunctionName"].strip("${}")], name, state


def test_every_function_has_contracts_and_is_invoked() -> None:
    from stacks.functions import function_settings

    deployed = set(function_settings(Settings(), "bucket", "locks", "models"))
    assert set(EVENTS) == set(ANSWERS) == deployed
    handlers = {path.name for path in (ROOT / "lambda").iterdir() if (path / "handler.py").exists()}
    assert handlers == deployed | OUTSIDE
    assert {function for function, _, _ in invocations()} == deployed


def test_every_state_sends_what_its_function_takes() -> None:
    for function, name, state in invocations():
        required, optional = keys_of(EVENTS[function])
        sent = set(state["Arguments"]["Payload"])
        assert required <= sent <= required | optional, name


def test_every_state_reads_only_what_its_function_answers() -> None:
    for function, name, state in invocations():
        required, _ = keys_of(ANSWERS[function])
        read = set(re.findall(r"\$states\.result\.Payload\.(\w+)", json.dumps(state)))
        assert read <= required, name


def test_variables_that_hold_an_answer_are_read_as_that_answer() -> None:
    holders: dict[str, set[str]] = {}
    for function, _, state in invocations():
        for variable, value in state.get("Assign", {}).items():
            if isinstance(value, str) and WHOLE_ANSWER.fullmatch(value):
                holders.setdefault(variable, set()).update(keys_of(ANSWERS[function])[0])
    assert {"plan", "evaluation", "verdict", "decision", "answer", "explanation", "message"} <= set(holders)
    for machine in machines():
        text = json.dumps(machine)
        for variable, answered in holders.items():
            read = set(re.findall(rf"\${variable}\.(\w+)", text))
            assert read <= answered, variable


@pytest.mark.parametrize("function", sorted(EVENTS))
def test_the_handler_takes_the_event(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "INSTANCE_POLICY": "{}",
        "REQUEST_QUOTA_INCREASES": "false",
        "SIMPLE_MODELS": "{}",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    path = ROOT / "lambda" / function / "handler.py"
    specification = importlib.util.spec_from_file_location(f"handler_of_{function}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert typing.get_type_hints(module.handler)["event"] is EVENTS[function]
