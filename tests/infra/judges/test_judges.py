"""Templates and state machine under AWS's and others' rules: nothing is found but what is answered here.

Each exception names one check, the resources that it is about and the reason. A finding without an answer
fails, and so does an answer that nothing needs any more.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import Settings
from stacks.workflow import definition

pytestmark = pytest.mark.oracle

STARTER = r"StarterStartRun\w+"
ANSWERING = r"(AnswerRequests|EraseUser|EventsStoreEvents)\w+"
LANDING = r"EventsLandEvents\w+"
WRITING = r"PageWritePage\w+"
FUNCTIONS = rf"(Functions\w+|{STARTER}|{ANSWERING}|{LANDING}|{WRITING})"
PAGE_BUCKETS, DISTRIBUTION = r"Page(Site|Logs)\w+", r"PageDistribution\w+"
LOG_GROUPS = (
    r"((Functions|Starter|AnswerRequests|EraseUser|Events|PageWrite)\w*Log\w+|WorkflowLog\w+|AccessLog\w+)"
)
ACCESS_LOGS, DATA, LOCKS = r"AccessLogs\w+", r"Data\w+", r"Locks\w+"

Answers = dict[tuple[str, str], str]

ONE_LOG_BUCKET = "It holds the data bucket's access logs; logging its own accesses would go round in circles."
ONLY_RUNNING = "A lock is about an execution that runs now: after a restore it would be about none."
NOBODYS_NETWORK = (
    "The functions reach AWS's services alone, with roles that name each resource; a VPC would need an endpoint for "
    "each service, or a NAT gateway, at more than a run's cost an hour."
)

CHECKOV: Answers = {
    ("CKV_AWS_18", ACCESS_LOGS): ONE_LOG_BUCKET,
    ("CKV_AWS_28", LOCKS): ONLY_RUNNING,
    (
        "CKV_AWS_115",
        FUNCTIONS,
    ): "The workflow bounds how many run at the same time (publish_concurrency); reserved "
    "concurrency would take capacity from the rest of a small account, which has 10 in all.",
    (
        "CKV_AWS_116",
        r"Functions\w+",
    ): "Step Functions invokes them and gets their errors: an event is never lost.",
    (
        "CKV_AWS_116",
        STARTER,
    ): "It is asked again at the next time, and an alarm says that it has failed: an old question is worth nothing.",
    (
        "CKV_AWS_116",
        ANSWERING,
    ): "API Gateway waits for the answer, and the caller gets the error.",
    (
        "CKV_AWS_116",
        LANDING,
    ): "The stream keeps its records until they have landed, and an alarm says when that takes an hour.",
    (
        "CKV_AWS_116",
        WRITING,
    ): "CloudFormation waits for its answer, and rolls back without one.",
    ("CKV_AWS_117", FUNCTIONS): NOBODYS_NETWORK,
    (
        "CKV_AWS_68",
        DISTRIBUTION,
    ): "It serves a dozen constant files, and no request reaches a program; AWS WAF would cost more than all else of "
    "the page.",
    (
        "CKV_AWS_173",
        FUNCTIONS,
    ): "Environment variables hold names of resources and the instance policy, no secrets; "
    "Lambda encrypts them with its own key.",
}

CONTROL_TOWER: Answers = {
    ("CT.DYNAMODB.PR.1", LOCKS): ONLY_RUNNING,
    (
        "CT.KMS.PR.3",
        r"Key\w+",
    ): "SageMaker and Glue make grants for the roles that start jobs; the rule wants a "
    "statement that would refuse grants by other principals, whom the policy doesn't allow any.",
    ("CT.S3.PR.2", ACCESS_LOGS): ONE_LOG_BUCKET,
    (
        "CT.S3.PR.4",
        f"({ACCESS_LOGS}|{DATA})",
    ): "Nothing waits for single objects: a run is started as a whole.",
    (
        "CT.S3.PR.9",
        f"({ACCESS_LOGS}|{DATA})",
    ): "Old encodings must be deleted by age, and people's data on demand; "
    "versions keep what was overwritten.",
    ("CT.S3.PR.10", ACCESS_LOGS): "S3 delivers access logs to buckets with SSE-S3 only.",
    (
        "CT.CLOUDFRONT.PR.4",
        DISTRIBUTION,
    ): "The page is of no use where the API, which is in one Region, is not there.",
    (
        "CT.S3.PR.2",
        PAGE_BUCKETS,
    ): "They log to the bucket of access logs, which is another stack's: the rule doesn't know references to other "
    "stacks. test_page.py checks it.",
    ("CT.S3.PR.4", PAGE_BUCKETS): "Nothing waits for the page's files, nor for its log.",
    (
        "CT.S3.PR.9",
        PAGE_BUCKETS,
    ): "The files are replaced by each deployment; the log must be deleted by age.",
    (
        "CT.S3.PR.10",
        PAGE_BUCKETS,
    ): "Whoever opens the page gets the files; CloudFront's log has these files in it and nobody's data.",
    ("CT.CLOUDWATCH.PR.2", LOG_GROUPS): "How long logs are kept is a setting, retention.log_days (90).",
    (
        "CT.CLOUDWATCH.PR.3",
        LOG_GROUPS,
    ): "They are encrypted with the deployment's key, which is another stack's: the "
    "rule doesn't know references to other stacks. test_templates.py checks the key.",
    (
        "CT.LAMBDA.PR.2",
        r"Http\w+Permission\w+",
    ): "API Gateway alone may invoke them, for one route of this API each: SourceArn names both, and with them the "
    "account, but is put together from references, which the rule doesn't know.",
    ("CT.LAMBDA.PR.3", FUNCTIONS): NOBODYS_NETWORK,
}

CLOUDSPLAINING: Answers = {
    (
        "credentials_exposure ecr:GetAuthorizationToken",
        r"SageMakerRole\w+",
    ): "SageMaker pulls its own algorithms' "
    "images with the job's role; the token reads what ECR allows the role, which is these two repositories.",
}


def unanswered(found: set[tuple[str, str]], answers: Answers) -> tuple[list[Any], list[Any]]:
    """Findings without an answer, and answers without a finding."""
    used = {
        (check, pattern): [name for own, name in found if own == check and re.fullmatch(pattern, name)]
        for check, pattern in answers
    }
    answered = {(check, name) for (check, _), names in used.items() for name in names}
    return sorted(found - answered), sorted(answer for answer, names in used.items() if not names)


CHECK = """
import json, sys
from checkov.cloudformation.runner import Runner
from checkov.runner_filter import RunnerFilter
report = Runner().run(None, files=sys.argv[1:], runner_filter=RunnerFilter(framework=["cloudformation"]))
failed = [(each.check_id, each.resource.rpartition(".")[2]) for each in report.failed_checks]
print(json.dumps([report.get_summary(), failed]))
"""
"""What checkov's program does, which imports the runners of all other frameworks, too."""


def checked_by_checkov(checkov: Path, templates: list[Path]) -> set[tuple[str, str]]:
    done = subprocess.run(
        [str(checkov), "-c", CHECK, *map(str, templates)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary, failed = json.loads(done.stdout)
    assert summary["parsing_errors"] == 0
    assert summary["passed"] > 300
    return {(check, name) for check, name in failed}


def test_checkov_finds_nothing_unanswered(checkov: Path, templates: list[Path]) -> None:
    assert unanswered(checked_by_checkov(checkov, templates), CHECKOV) == ([], [])


RESOURCE_TYPE = re.compile(r"AWS::\w+::\w+")


def rules_about(templates: list[Path], folder: Path) -> list[str]:
    """The rules that name a type of resource in the templates, or none; the others find nothing to judge.

    CloudFormation Guard reads each template anew for each rule.
    """
    types = {
        resource["Type"]
        for template in templates
        for resource in json.loads(template.read_text())["Resources"].values()
    }
    named = {str(rule): set(RESOURCE_TYPE.findall(rule.read_text())) for rule in folder.rglob("*.guard")}
    assert len(named) > 200
    return sorted(rule for rule, its_types in named.items() if not its_types or its_types & types)


def checked_by_guard(guard: tuple[Path, Path], templates: list[Path]) -> set[tuple[str, str]]:
    program, folder = guard
    rules = rules_about(templates, folder)
    done = subprocess.run(
        [
            *(str(program), "validate", "--rules", *rules, "--data", *map(str, templates)),
            *("--output-format", "json", "--structured", "--show-summary", "none"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found = set()
    for report in json.loads(done.stdout):
        judged = [*report["compliant"], *report["not_applicable"], *report["not_compliant"]]
        assert len(judged) >= len(rules)
        for rule in report["not_compliant"]:
            text = json.dumps(rule)
            control = re.search(r"\[(CT\.[A-Z0-9.]+)\]", text)
            assert control is not None, text
            found |= {(control[1], name) for name in re.findall(r"/Resources/(\w+)", text)}
    return found


def test_aws_control_towers_rules_find_nothing_unanswered(
    guard: tuple[Path, Path], templates: list[Path]
) -> None:
    assert unanswered(checked_by_guard(guard, templates), CONTROL_TOWER) == ([], [])


SCAN = """
import json, sys
from cloudsplaining.scan.policy_document import PolicyDocument
RISKS = (
    "allows_privilege_escalation", "permissions_management_without_constraints", "allows_data_exfiltration_actions",
    "infrastructure_modification", "credentials_exposure", "service_wildcard", "contains_statement_using_not_action",
)
found = []
for name, document in json.load(sys.stdin):
    policy = PolicyDocument(document)
    for risk in RISKS:
        value = getattr(policy, risk)
        for action in value if isinstance(value, list) else ["in all"] * bool(value):
            found.append([f"{risk} {action if isinstance(action, str) else json.dumps(action)}", name])
print(json.dumps(found))
"""


def policies(templates: list[Path]) -> Iterator[tuple[str, Any]]:
    """Every policy of a role, its references in words."""
    for template in templates:
        for name, resource in json.loads(template.read_text())["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}:
                yield name, written_out(properties["PolicyDocument"])
            for own in properties.get("Policies", []) if resource["Type"] == "AWS::IAM::Role" else []:
                yield name, written_out(own["PolicyDocument"])


def written_out(value: Any) -> Any:
    if isinstance(value, list):
        return [written_out(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return separator.join(str(written_out(part)) for part in parts)
    if "Ref" in value:
        return {"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "000000000000"}.get(
            value["Ref"], value["Ref"]
        )
    if len(value) == 1 and next(iter(value)).startswith("Fn::"):
        return f"arn:aws:service:eu-west-1:000000000000:{re.sub('[^A-Za-z0-9]', '', json.dumps(value))}"
    return {key: written_out(each) for key, each in value.items()}


def checked_by_cloudsplaining(checkov: Path, documents: list[tuple[str, Any]]) -> set[tuple[str, str]]:
    done = subprocess.run(
        [str(checkov), "-c", SCAN], input=json.dumps(documents), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {(risk, name) for risk, name in json.loads(done.stdout)}


def test_cloudsplaining_finds_nothing_unanswered(checkov: Path, templates: list[Path]) -> None:
    documents = list(policies(templates))
    assert len(documents) >= 19
    assert unanswered(checked_by_cloudsplaining(checkov, documents), CLOUDSPLAINING) == ([], [])


def test_the_state_machine_is_valid_amazon_states_language(node_packages: Path, tmp_path: Path) -> None:
    good, broken = [], []
    for resort in ("fail", "wait", "serverless", "batch-only"):
        settings = Settings.model_validate({"instances": {"last_resort": {"endpoint": resort}}})
        good.append(machine := tmp_path / f"{resort}.json")
        # The validator's schema knows no empty text in what Assign may hold; Step Functions takes any JSON.
        machine.write_text(json.dumps(definition(settings)).replace('""', '" "'))
        changed = definition(settings)
        changed["States"]["Choose instances"]["Next"] = "Nowhere"
        broken.append(machine := tmp_path / f"broken-{resort}.json")
        machine.write_text(json.dumps(changed).replace('""', '" "'))
    assert found_valid(node_packages, good + broken) == set(good)


def found_valid(node_packages: Path, machines: list[Path]) -> set[Path]:
    """Those of the machines that asl-validator says are valid; each gets a line with a mark and its path."""
    command = ["node", str(node_packages / ".bin/asl-validator")]
    for machine in machines:
        command += ["--json-path", str(machine)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = re.findall(
        r'^[✓✕] State machine definition "(.+)" is (\w+)', done.stdout + done.stderr, re.MULTILINE
    )
    assert {Path(path) for path, _ in lines} == set(machines), done.stderr
    return {Path(path) for path, verdict in lines if verdict == "valid"}


def test_the_judges_would_find_a_careless_template(
    checkov: Path, guard: tuple[Path, Path], tmp_path: Path
) -> None:
    allow = {"Effect": "Allow", "Action": ["iam:PassRole", "iam:CreatePolicyVersion"], "Resource": "*"}
    resources = {
        "Careless": {"Type": "AWS::S3::Bucket", "Properties": {}},
        "Mighty": {
            "Type": "AWS::IAM::Policy",
            "Properties": {"PolicyName": "mighty", "PolicyDocument": {"Statement": [allow]}},
        },
    }
    template = tmp_path / "careless.json"
    template.write_text(json.dumps({"Resources": resources}))
    assert ("CT.S3.PR.2", "Careless") in checked_by_guard(guard, [template])
    risks = {risk for risk, _ in checked_by_cloudsplaining(checkov, list(policies([template])))}
    assert any(risk.startswith("allows_privilege_escalation") for risk in risks)
    assert unanswered({("CKV_1", "Careless")}, {("CKV_2", "Other"): "none"}) == (
        [("CKV_1", "Careless")],
        [("CKV_2", "Other")],
    )
