"""One synthesis for all infrastructure tests, and a machine that runs definitions with scripted answers."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonata  # type: ignore[import-untyped]  # the emulator's engine comes without types
import pytest

from stacks.workflow import SUBSTITUTIONS
from stacks.workflow.state_builders import INTEGRATIONS
from tests.fixtures.assemblies import built_app
from tests.fixtures.service_calls import check_call

ORIGIN = "https://shop.example"
JWT = {
    "issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_pool",
    "audience": ["shop"],
    "scopes": {"*": ["lists/read"], "POST /events": ["events/write"]},
    "any_user_scope": "lists/any-user",
}
PAGE: dict[str, Any] = {
    "domain": "page.example.com",
    "certificate": "arn:aws:acm:us-east-1:000000000000:certificate/12345678-1234-1234-1234-123456789012",
    "client_id": "page",
    "audience": "shop",
    "resource": "https://lists.example",
    "authorization_endpoint": "https://sign-in.example/oauth2/authorize",
    "token_endpoint": "https://sign-in.example/oauth2/token",
    "sign_out_endpoint": "https://sign-in.example/logout",
    "scopes": ["openid", "lists/read"],
}


@dataclass(frozen=True)
class Synthesis:
    """What `cdk synth` would have written."""

    folder: Path
    report: dict[str, Any]

    def template(self, stack: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / f"{stack}.template.json").read_text())
        return document

    def resources(self, stack: str, kind: str) -> dict[str, dict[str, Any]]:
        found = self.template(stack)["Resources"]
        return {name: resource for name, resource in found.items() if resource["Type"] == kind}


def synthesise(folder: Path, context: dict[str, Any], *, nag: bool) -> Synthesis:
    """Synthesise the app with the feature flags of cdk.json and more context."""
    from aws_cdk import Validations
    from cdk_nag import AwsSolutionsChecks

    app = built_app(folder, context)
    if nag:
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    # A violation raises; the report says what it was, and the tests read it.
    with contextlib.suppress(RuntimeError):
        app.synth()
    report = folder / "validation-report.json"
    return Synthesis(folder, json.loads(report.read_text()) if report.exists() else {})


@pytest.fixture(scope="session")
def synthesis(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """The app on its defaults."""
    return synthesise(tmp_path_factory.mktemp("defaults"), {}, nag=True)


@pytest.fixture(scope="session")
def with_api(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """The app with the API, which takes events, and else on its defaults."""
    return synthesise(tmp_path_factory.mktemp("with_api"), {"fmrec.api": '{"events": {}}'}, nag=True)


@pytest.fixture(scope="session")
def throw_away(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    """The app with every setting that changes what is provisioned."""
    context = {
        "fmrec.name": "Trial",
        "fmrec.retention.removal": "destroy",
        "fmrec.notification_email": "someone@example.com",
        "fmrec.glue.flex": "true",
        "fmrec.api": json.dumps(
            {
                "events": {},
                "jwt": JWT,
                "page": PAGE,
                "cors": {"allowed_origins": [ORIGIN]},
                "endpoint_from_items": 2_000_000,
                "item_names": {"key": "raw/items/films.csv", "columns": ["item_id", "title", "year"]},
            }
        ),
        "fmrec.glue.worker_type": "G.2X",
        "fmrec.instances.request_quota_increases": "true",
        "fmrec.instances.last_resort.endpoint": "wait",
        "fmrec.instances.last_resort.training": "wait",
        "fmrec.instances.last_resort.transform": "wait",
        "fmrec.serving.idle_hours": "12",
        "fmrec.serving.scaling": '{"maximum_instances": 8}',
        "fmrec.watch.dashboard": "true",
        "fmrec.watch.monthly_budget_usd": "50",
        "fmrec.start.schedule": "cron(0 3 * * ? *)",
        "fmrec.start.time_zone": "Europe/Vienna",
        "fmrec.start.new_data": '{"check_minutes": 5, "minimum_megabytes": 5}',
    }
    return synthesise(tmp_path_factory.mktemp("throw_away"), context, nag=True)


@dataclass
class TaskError(Exception):
    """What a scripted task fails with."""

    error: str
    cause: str


Answer = Callable[[dict[str, Any]], Any]


@dataclass
class Machine:
    """Runs a definition, with Python functions in place of AWS, by the rules of the language.

    Retries are not made: a retried error reaches Catch at once. ``visited`` names the states in order,
    ``calls`` holds the arguments of every task.
    """

    definition: dict[str, Any]
    answers: dict[str, Answer]
    check: Callable[[str, dict[str, Any]], None] = lambda _integration, _arguments: None
    visited: list[str] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    waited: float = 0

    def run(self, given: Any, name: str = "run-1") -> tuple[str, Any]:
        """Return ("SUCCEEDED", output) or ("FAILED", {"Error", "Cause"})."""
        context = {
            "Execution": {
                "Name": name,
                "Id": f"arn:aws:states:eu-west-1:000000000000:execution:machine:{name}",
                "Input": given,
                "StartTime": "2026-11-21T10:00:00.000Z",
            }
        }
        return self._run(self.definition, given, context)

    def _run(self, machine: dict[str, Any], data: Any, context: dict[str, Any]) -> tuple[str, Any]:
        state_name = machine["StartAt"]
        for _ in range(2000):
            state = machine["States"][state_name]
            self.visited.append(state_name)
            scope = {"input": data, "context": {**context, "State": {"Name": state_name}}}
            kind = state["Type"]
            if kind == "Fail":
                return "FAILED", {key: self._fill(state[key], scope) for key in ("Error", "Cause")}
            if kind == "Succeed":
                return "SUCCEEDED", self._fill(state["Output"], scope)
            if kind == "Choice":
                state_name = self._choose(state, scope)
                continue
            if kind == "Wait":
                self.waited += state["Seconds"]
                self._assign(state, scope)
            elif kind == "Pass":
                self._assign(state, scope)
                data = self._fill(state["Output"], scope) if "Output" in state else data
            else:
                try:
                    result = (
                        self._map(state, scope) if kind == "Map" else self._task(state_name, state, scope)
                    )
                except TaskError as error:
                    state_name = self._catch(state, scope, error)
                    continue
                self._assign(state, {**scope, "result": result})
                data = (
                    self._fill(state["Output"], {**scope, "result": result}) if "Output" in state else result
                )
            if state.get("End"):
                return "SUCCEEDED", data
            state_name = state["Next"]
        raise AssertionError("the machine does not end")

    def _task(self, name: str, state: dict[str, Any], scope: dict[str, Any]) -> Any:
        arguments = self._fill(state["Arguments"], scope)
        self.calls.append((name, arguments))
        self.check(state["Resource"], arguments)
        return copy.deepcopy(self.answers[name](arguments))

    def _map(self, state: dict[str, Any], scope: dict[str, Any]) -> list[Any]:
        results = []
        items = self._fill(state["Items"], scope)
        assert isinstance(items, list), f"Items must be an array: {items!r}"
        for index, item in enumerate(items):
            context = {**scope["context"], "Map": {"Item": {"Index": index, "Value": item}}}
            results.append(self._run(state["ItemProcessor"], item, context)[1])
        return results

    def _choose(self, state: dict[str, Any], scope: dict[str, Any]) -> str:
        for rule in state["Choices"]:
            value = self._fill(rule["Condition"], scope)
            assert isinstance(value, bool), f"{rule['Condition']} is {value!r}, not true or false"
            if value:
                self._assign(rule, scope)
                return str(rule["Next"])
        self._assign(state, scope)
        return str(state["Default"])

    def _catch(self, state: dict[str, Any], scope: dict[str, Any], error: TaskError) -> str:
        for catcher in state.get("Catch", []):
            names = catcher["ErrorEquals"]
            if (
                error.error in names
                or "States.ALL" in names
                or ("States.TaskFailed" in names and error.error != "States.Timeout")
            ):
                output = {"Error": error.error, "Cause": error.cause}
                self._assign(catcher, {**scope, "errorOutput": output})
                return str(catcher["Next"])
        raise error  # out of a Map's item, to the Map

    def _assign(self, holder: dict[str, Any], scope: dict[str, Any]) -> None:
        values = {name: self._fill(value, scope) for name, value in holder.get("Assign", {}).items()}
        self.variables |= values

    def _fill(self, template: Any, scope: dict[str, Any]) -> Any:
        if isinstance(template, str) and template.startswith("{%"):
            return self.evaluate(template[2:-2], scope)
        if isinstance(template, dict):
            return {key: self._fill(value, scope) for key, value in template.items()}
        if isinstance(template, list):
            return [self._fill(value, scope) for value in template]
        return copy.deepcopy(template)

    def evaluate(self, text: str, scope: dict[str, Any]) -> Any:
        """A JSONata expression's value; an undefined one is an error, as it is on AWS."""
        missing = jsonata.utils.Utils.NULL_VALUE
        names, members = _mentioned(text)
        # An engine may change what it is given. It is given only what the expression names: copying all
        # variables for each of some ten thousand expressions took most of these tests' time.
        bindings = {
            name: missing if self.variables[name] is None else copy.deepcopy(self.variables[name])
            for name in names & self.variables.keys()
        }
        if "states" in names:
            bindings["states"] = copy.deepcopy(
                {name: value for name, value in scope.items() if members is None or name in members}
            )
        value = _compiled(text).evaluate(None, bindings)
        if value is None:
            defined = _compiled(f"$exists(({text}))").evaluate(None, bindings)
            assert defined, f"undefined: {text}"
        # jsonata marks sequences by subclasses of list: JSON knows only arrays.
        return json.loads(json.dumps(value))


@functools.cache
def _mentioned(text: str) -> tuple[set[str], set[str] | None]:
    """The variables that an expression names, and the members of ``$states`` (None: as a whole)."""
    members = re.findall(r"\$states\b(?:\.(\w+))?", text)
    return set(re.findall(r"\$(\w+)", text)), None if "" in members else set(members)


@functools.cache
def _compiled(text: str) -> Any:
    return jsonata.Jsonata.jsonata(text)


ARN = "arn:aws:{}:eu-west-1:000000000000:{}"
DEPLOYED = {
    **{name: f"arn:aws:states:::{integration}" for name, integration in INTEGRATIONS.items()},
    "DataBucket": "fmrecstorage-data",
    "Key": ARN.format("kms", "key/12345678-1234-1234-1234-123456789012"),
    "Table": "FmRecStorage-Recommendations",
    "Topic": ARN.format("sns", "FmRecStorage-Notifications"),
    "SageMakerRole": "arn:aws:iam::000000000000:role/FmRecPipeline-SageMakerRole",
    "EncodingJob": "EncodingJob-abc",
    "FactorizationMachinesImage": "000000000000.dkr.ecr.eu-west-1.amazonaws.com/factorization-machines:1",
    "KnnImage": "000000000000.dkr.ecr.eu-west-1.amazonaws.com/knn:1",
}
"""What CloudFormation fills in for the placeholders; functions have their own names."""


def deployed(definition: dict[str, Any]) -> dict[str, Any]:
    """Fill in a definition's placeholders."""
    text = json.dumps(definition)
    for name, value in (dict.fromkeys(SUBSTITUTIONS, "") | DEPLOYED).items():
        text = text.replace(f"${{{name}}}", value or f"FmRecPipeline-{name}")
    filled: dict[str, Any] = json.loads(text)
    return filled


@pytest.fixture
def machine() -> Callable[[dict[str, Any], dict[str, Answer]], Machine]:
    """Make a machine from a definition and the answers of its tasks by state name.

    Each call is checked against botocore's models.
    """
    return lambda definition, answers: Machine(deployed(definition), answers, check_call)


@pytest.fixture
def task_error() -> type[TaskError]:
    return TaskError


@pytest.fixture(scope="session")
def definition(synthesis: Synthesis) -> dict[str, Any]:
    """The definition as deployed on the defaults, with its placeholders."""
    (resource,) = synthesis.resources("FmRecPipeline", "AWS::StepFunctions::StateMachine").values()
    document: dict[str, Any] = json.loads(resource["Properties"]["DefinitionString"])
    return document


def _tasks(states: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in states.items():
        if state["Type"] == "Task":
            yield name, state
        if state["Type"] == "Map":
            yield from _tasks(state["ItemProcessor"]["States"])


@pytest.fixture(scope="session")
def tasks(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every task, those inside Map included."""
    return dict(_tasks(definition["States"]))
