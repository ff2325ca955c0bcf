"""The deployed state machine with the definition of other settings, which takes no deployment of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from stacks.settings import Settings
from stacks.workflow import definition
from stacks.workflow.state_builders import INTEGRATIONS


def filled_in(template: Any, deployed: Any) -> Iterator[tuple[str, str]]:
    """What the deployment put in place of each placeholder of a definition."""
    if isinstance(template, dict):
        for key, value in template.items():
            yield from filled_in(value, deployed[key])
    elif isinstance(template, list):
        for left, right in zip(template, deployed, strict=True):
            yield from filled_in(left, right)
    elif isinstance(template, str) and "${" in template:
        pattern = re.sub(r"\\\$\\\{\w+\\\}", "(.+?)", re.escape(template))
        found = re.fullmatch(pattern, deployed)
        assert found, (template, deployed)
        yield from zip(re.findall(r"\$\{(\w+)\}", template), found.groups(), strict=True)


class Variants:
    """Definitions that stand in for the deployed one; executions under way keep theirs.

    A machine of another name would do less: the deployed roles see executions of the deployed one only.
    """

    def __init__(self, pipeline: Any) -> None:
        self._states = pipeline.cloud.client("stepfunctions")
        self.arn: str = pipeline.outputs["StateMachineArn"]
        self._deployed: str = self._states.describe_state_machine(stateMachineArn=self.arn)["definition"]
        self._defined = self._deployed
        self._values = {name: f"arn:aws:states:::{call}" for name, call in INTEGRATIONS.items()}
        self._values |= dict(filled_in(definition(Settings()), json.loads(self._deployed)))

    def use(self, settings: dict[str, Any]) -> None:
        """Run executions from now on by these settings, the defaults apart."""
        text = json.dumps(definition(Settings.model_validate(settings)))
        for placeholder, value in self._values.items():
            text = text.replace(f"${{{placeholder}}}", value)
        self._define(text)

    def restore(self) -> None:
        self._define(self._deployed)

    def _define(self, text: str) -> None:
        """Change the machine's definition, if it has another: each is parsed and checked."""
        if text != self._defined:
            self._states.update_state_machine(stateMachineArn=self.arn, definition=text)
            self._defined = text
