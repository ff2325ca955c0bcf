"""Templates under the rules of CDK's CloudFormation Validate, as `cdk synth` and `cdk deploy` ask them.

Its engine takes some seconds of a processor to start: syntheses of the other tests are made without it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broken_rules() -> Any:
    """The names of the rules that templates break."""
    import jsii
    from aws_cdk import App, CloudFormationValidatePlugin, IPolicyValidationContext, PolicyValidationStack

    @jsii.implements(IPolicyValidationContext)
    class Templates:
        def __init__(self, paths: list[Path]) -> None:
            self._paths = paths

        @property
        def stack_templates(self) -> list[PolicyValidationStack]:
            return [
                PolicyValidationStack(
                    stack_construct_path=path.name.partition(".")[0],
                    template_path=str(path),
                    account_id=None,
                    region=None,
                )
                for path in self._paths
            ]

        @property
        def template_paths(self) -> list[str]:
            return [str(path) for path in self._paths]

        @property
        def app_construct(self) -> App:
            raise NotImplementedError("only templates are looked at")

        account_id = region = None

    engine = CloudFormationValidatePlugin()
    return lambda paths: [violation.rule_name for violation in engine.validate(Templates(paths)).violations]


@pytest.mark.parametrize("which", ["synthesis", "with_api", "throw_away"])
def test_no_template_breaks_a_rule(which: str, broken_rules: Any, request: pytest.FixtureRequest) -> None:
    templates = sorted(request.getfixturevalue(which).folder.glob("*.template.json"))
    assert len(templates) >= 2
    assert broken_rules(templates) == []


def test_a_property_that_is_not_there_would_be_found(broken_rules: Any, tmp_path: Path) -> None:
    template = tmp_path / "Careless.template.json"
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketNam": "x"}}
    template.write_text(json.dumps({"Resources": {"Bucket": bucket}}))
    assert broken_rules([template]) == ["F3002"]
