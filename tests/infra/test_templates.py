"""What the templates provision: encrypted, private, limited, named, and clean under the linters."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stacks.image_registry import registry

STACKS = ("FmRecStorage", "FmRecPipeline")

SERVICE_PRINCIPALS = {
    f"{service}.amazonaws.com"
    for service in ("cloudwatch", "glue", "lambda", "sagemaker", "states", "logging")
}
"""Principals' names, which are the same in every partition."""


def statements(policy: Any) -> Any:
    found = policy["Statement"]
    return found if isinstance(found, list) else [found]


def violated_rules(report: Any) -> Any:
    return [violation["ruleName"] for plugin in report["pluginReports"] for violation in plugin["violations"]]


def as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("which", ["synthesis", "with_api", "throw_away"])
def test_cdk_nag_finds_no_error(which: Any, request: Any) -> None:
    assert violated_rules(request.getfixturevalue(which).report) == []


def test_cdk_nag_would_find_an_error(tmp_path: Any) -> None:
    from aws_cdk import App, Stack, Validations
    from aws_cdk import aws_s3 as s3
    from cdk_nag import AwsSolutionsChecks

    app = App(outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    s3.Bucket(Stack(app, "Careless"), "Bucket")
    with pytest.raises(RuntimeError, match="server access logs"):
        app.synth()

    report = json.loads((tmp_path / "validation-report.json").read_text())
    assert "AwsSolutions-S1" in " ".join(violated_rules(report))


@pytest.mark.slow
def test_cfn_lint_finds_nothing(synthesis: Any, throw_away: Any) -> None:
    templates = [
        str(found.folder / f"{stack}.template.json")
        for found, stacks in (
            (synthesis, STACKS),
            (throw_away, ("TrialStorage", "TrialPipeline", "TrialApi")),
        )
        for stack in stacks
    ]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), "--", *templates],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],  # .cfnlintrc
    )

    assert done.returncode == 0, done.stdout


def test_every_bucket_is_private_encrypted_versioned_and_tidied_up(synthesis: Any) -> None:
    buckets = synthesis.resources("FmRecStorage", "AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets.values():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        rules = properties["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
        assert any("NoncurrentVersionExpiration" in rule for rule in rules)
        assert "ServerSideEncryptionConfiguration" in json.dumps(properties["BucketEncryption"])
        assert bucket["DeletionPolicy"] == "Retain"


def test_only_what_a_run_can_make_again_expires(synthesis: Any) -> None:
    (data,) = (
        bucket["Properties"]
        for name, bucket in synthesis.resources("FmRecStorage", "AWS::S3::Bucket").items()
        if name.startswith("Data")
    )
    expiring = {
        rule.get("Prefix")
        for rule in data["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule and rule["Status"] == "Enabled"
    }
    assert expiring == {"encoded/", "embeddings/", "neighbours/", "scores/"}
    encryption = data["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert encryption["BucketKeyEnabled"] is True


def test_buckets_and_topic_refuse_what_is_not_encrypted_on_the_way(synthesis: Any) -> None:
    policies = [
        *synthesis.resources("FmRecStorage", "AWS::S3::BucketPolicy").values(),
        *synthesis.resources("FmRecStorage", "AWS::SNS::TopicPolicy").values(),
    ]
    assert len(policies) == 3
    for policy in policies:
        denied = [
            statement
            for statement in statements(policy["Properties"]["PolicyDocument"])
            if statement["Effect"] == "Deny"
            and statement["Condition"].get("Bool") == {"aws:SecureTransport": "false"}
        ]
        assert denied, policy


def test_key_rotates_and_table_and_topic_use_it(synthesis: Any) -> None:
    ((key_name, key),) = synthesis.resources("FmRecStorage", "AWS::KMS::Key").items()
    tables = synthesis.resources("FmRecStorage", "AWS::DynamoDB::Table")
    (table,) = (found for name, found in tables.items() if name.startswith("Recommendations"))
    (topic,) = synthesis.resources("FmRecStorage", "AWS::SNS::Topic").values()

    assert key["Properties"]["EnableKeyRotation"] is True
    reference = {"Fn::GetAtt": [key_name, "Arn"]}
    for each in tables.values():
        assert each["Properties"]["SSESpecification"] == {
            "SSEEnabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": reference,
        }
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["KeySchema"] == [{"AttributeName": "user_id", "KeyType": "HASH"}]
    assert topic["Properties"]["KmsMasterKeyId"] == reference


def test_every_log_group_is_encrypted_with_the_key_which_names_it(synthesis: Any) -> None:
    ((key_name, key),) = synthesis.resources("FmRecStorage", "AWS::KMS::Key").items()
    groups = synthesis.resources("FmRecPipeline", "AWS::Logs::LogGroup")
    assert len(groups) == 20
    for group in groups.values():
        assert f"OutputFnGetAtt{key_name}Arn" in json.dumps(group["Properties"]["KmsKeyId"])
    (logs,) = (
        statement
        for statement in statements(key["Properties"]["KeyPolicy"])
        if "logs." in json.dumps(statement["Principal"])
    )
    named = logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    patterns = {json.dumps(arn).rpartition("log-group:")[2].rstrip('"]}') for arn in named}
    # What CloudFormation names begins with the stack's name.
    assert patterns == {"/aws-glue/*", "FmRecPipeline-*", "/aws/vendedlogs/states/FmRecPipeline-*"}


def test_what_is_stateful_is_retained_and_a_trial_leaves_nothing(synthesis: Any, throw_away: Any) -> None:
    stateful = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key")
    for kind in stateful:
        for name, resource in synthesis.resources("FmRecStorage", kind).items():
            # Locks say only which execution runs now.
            assert resource["DeletionPolicy"] == ("Delete" if name.startswith("Locks") else "Retain")
        for resource in throw_away.resources("TrialStorage", kind).values():
            assert resource["DeletionPolicy"] == "Delete"
    assert len(throw_away.resources("TrialStorage", "Custom::S3AutoDeleteObjects")) == 2
    assert not synthesis.resources("FmRecStorage", "Custom::S3AutoDeleteObjects")


def test_the_glue_job_runs_the_library_on_glue_6_with_everything_encrypted(synthesis: Any) -> None:
    (job,) = synthesis.resources("FmRecPipeline", "AWS::Glue::Job").values()
    (security,) = synthesis.resources("FmRecPipeline", "AWS::Glue::SecurityConfiguration").values()
    properties = job["Properties"]

    assert properties["GlueVersion"] == "6.0"
    assert properties["Command"]["Name"] == "glueetl"
    assert ".zip" in json.dumps(properties["DefaultArguments"]["--extra-py-files"])
    assert properties["DefaultArguments"]["--enable-auto-scaling"] == "true"
    assert (properties["WorkerType"], properties["NumberOfWorkers"]) == ("G.1X", 3)
    encryption = security["Properties"]["EncryptionConfiguration"]
    assert encryption["CloudWatchEncryption"]["CloudWatchEncryptionMode"] == "SSE-KMS"
    assert encryption["S3Encryptions"][0]["S3EncryptionMode"] == "SSE-KMS"


def test_nothing_of_the_pipeline_is_retained_so_that_it_can_be_deployed_again(synthesis: Any) -> None:
    resources = synthesis.template("FmRecPipeline")["Resources"]
    assert [name for name, resource in resources.items() if resource.get("DeletionPolicy") == "Retain"] == []


def test_flex_is_a_setting_of_the_glue_job(throw_away: Any) -> None:
    (job,) = throw_away.resources("TrialPipeline", "AWS::Glue::Job").values()

    assert job["Properties"]["ExecutionClass"] == "FLEX"
    assert job["Properties"]["WorkerType"] == "G.2X"


def test_functions_share_a_layer_for_their_own_python_and_log_for_a_limited_time(synthesis: Any) -> None:
    functions = synthesis.resources("FmRecPipeline", "AWS::Lambda::Function")
    groups = synthesis.resources("FmRecPipeline", "AWS::Logs::LogGroup")

    folders = Path(__file__).resolve().parents[2].glob("lambda/*/handler.py")
    # Of the API's stack, and of a setting that is off.
    api = {"answer_requests", "erase_user", "land_events", "store_events", "write_page"}
    own = {*api, "delete_idle_endpoints"}
    assert len(functions) == len([folder for folder in folders if folder.parent.name not in own])
    for function in functions.values():
        properties = function["Properties"]
        assert properties["Runtime"] == "python3.13"
        assert properties["Architectures"] == ["x86_64"]
        assert len(properties["Layers"]) == 1
        assert properties["LoggingConfig"]["LogGroup"]["Ref"] in groups
        assert properties["Timeout"] <= 900
    assert {group["Properties"]["RetentionInDays"] for group in groups.values()} == {90}


def test_the_state_machine_logs_everything_and_is_traced(synthesis: Any) -> None:
    (state_machine,) = synthesis.resources("FmRecPipeline", "AWS::StepFunctions::StateMachine").values()
    properties = state_machine["Properties"]

    assert properties["LoggingConfiguration"]["Level"] == "ALL"
    assert properties["TracingConfiguration"] == {"Enabled": True}
    assert properties.get("StateMachineType", "STANDARD") == "STANDARD"
    group = synthesis.template("FmRecPipeline")["Resources"]["WorkflowLogD7C9FC7F"]["Properties"]
    assert "/aws/vendedlogs/states/" in json.dumps(group["LogGroupName"])


def test_alarms_tell_of_failed_and_timed_out_runs(synthesis: Any) -> None:
    alarms = synthesis.resources("FmRecPipeline", "AWS::CloudWatch::Alarm").values()

    assert {alarm["Properties"]["MetricName"] for alarm in alarms} == {
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "Errors",
        "Invocation5XXErrors",
        "ModelLatency",
    }
    for alarm in alarms:
        assert len(alarm["Properties"]["AlarmActions"]) == 1
        # Latency is measured in microseconds.
        in_microseconds = alarm["Properties"]["MetricName"] == "ModelLatency"
        assert alarm["Properties"]["Threshold"] == (2_000_000 if in_microseconds else 1)


def test_an_address_in_settings_is_subscribed(synthesis: Any, throw_away: Any) -> None:
    (subscription,) = throw_away.resources("TrialStorage", "AWS::SNS::Subscription").values()

    assert subscription["Properties"]["Endpoint"] == "someone@example.com"
    assert not synthesis.resources("FmRecStorage", "AWS::SNS::Subscription")


def test_no_role_has_a_wildcard_action_or_a_managed_policy(synthesis: Any, throw_away: Any) -> None:
    for found, stack in [*((synthesis, stack) for stack in STACKS), (throw_away, "TrialApi")]:
        for role in found.resources(stack, "AWS::IAM::Role").values():
            assert "ManagedPolicyArns" not in role["Properties"]
        for policy in found.resources(stack, "AWS::IAM::Policy").values():
            for statement in statements(policy["Properties"]["PolicyDocument"]):
                assert statement["Effect"] == "Allow"
                assert not [action for action in as_list(statement["Action"]) if "*" in action]


def bare_wildcards(synthesis: Any, stack: str) -> set[str]:
    """Actions that are allowed on every resource."""
    return {
        action
        for policy in synthesis.resources(stack, "AWS::IAM::Policy").values()
        for statement in statements(policy["Properties"]["PolicyDocument"])
        if "*" in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
    }


def test_a_bare_wildcard_resource_has_only_actions_that_know_no_resource(
    synthesis: Any, throw_away: Any
) -> None:
    without_resource = {
        "cloudwatch:PutMetricData",
        "ecr:GetAuthorizationToken",
        "pricing:GetProducts",
        "servicequotas:ListServiceQuotas",
        "sagemaker:ListTrainingJobs",
        "sagemaker:ListTransformJobs",
        "sagemaker:ListEndpoints",
        # Read for whatever runs in the account, to count what uses a quota.
        "sagemaker:DescribeTrainingJob",
        "sagemaker:DescribeTransformJob",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        # Of CDK: delivery of the execution log, and X-Ray.
        *(f"logs:{call}LogDelivery" for call in ("Create", "Delete", "Get", "Update")),
        "logs:ListLogDeliveries",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:PutResourcePolicy",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }
    assert bare_wildcards(synthesis, "FmRecPipeline") == without_resource
    assert bare_wildcards(throw_away, "TrialApi") == {"dynamodb:ListStreams"}


def test_the_role_of_sagemaker_can_only_be_passed_to_sagemaker(synthesis: Any) -> None:
    passing = [
        statement
        for policy in synthesis.resources("FmRecPipeline", "AWS::IAM::Policy").values()
        for statement in statements(policy["Properties"]["PolicyDocument"])
        if "iam:PassRole" in as_list(statement["Action"])
    ]
    (statement,) = passing
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert statement["Resource"] == {"Fn::GetAtt": ["SageMakerRoleD4FCFA3F", "Arn"]}


def test_templates_name_no_account_region_or_partition(synthesis: Any) -> None:
    principals = set()
    for stack in STACKS:
        template = synthesis.template(stack)
        mappings = template.pop("Mappings", {})
        # Which Regions have images: it is a list of all.
        template["Rules"] = {
            name: rule for name, rule in template.get("Rules", {}).items() if "RegionHasImages" not in name
        }
        text = json.dumps(template)
        principals |= set(re.findall(r"[a-z.-]+\.amazonaws\.[a-z.]+", text))
        assert not re.search(r"\b\d{12}\b", text)
        assert not re.search(r"\b(us|eu|ap|cn|sa|ca)-[a-z]+-\d\b", text)
        assert "arn:aws:" not in text
        for registries in mappings.values():
            assert len(registries) == 37
    assert principals <= SERVICE_PRINCIPALS


def test_a_person_finds_what_they_need_in_the_outputs(synthesis: Any) -> None:
    assert {"DataBucket", "RecommendationsTable", "NotificationsTopic"} <= set(
        synthesis.template("FmRecStorage")["Outputs"]
    )
    assert {"StateMachineArn", "StartCommand", "EndpointName", "FmEndpointName", "EncodingJobName"} <= set(
        synthesis.template("FmRecPipeline")["Outputs"]
    )


@pytest.mark.parametrize(
    ("partition", "region", "domain"),
    [
        ("aws", "eu-west-1", "amazonaws.com"),
        ("aws-cn", "cn-north-1", "amazonaws.com.cn"),
        ("aws-us-gov", "us-gov-west-1", "amazonaws.com"),
    ],
)
def test_the_same_template_names_each_partitions_images_and_integrations(
    synthesis: Any, partition: Any, region: Any, domain: Any
) -> None:
    template = synthesis.template("FmRecPipeline")
    pseudo = {"AWS::Partition": partition, "AWS::Region": region, "AWS::AccountId": "000000000000"}

    def resolved(value: Any) -> Any:
        if isinstance(value, str):
            return value
        ((function, argument),) = value.items()
        if function == "Ref":
            return pseudo.get(argument, argument)
        if function == "Fn::Join":
            return argument[0].join(map(resolved, argument[1]))
        assert function == "Fn::FindInMap"
        return template["Mappings"][argument[0]][resolved(argument[1])][argument[2]]

    (state_machine,) = synthesis.resources("FmRecPipeline", "AWS::StepFunctions::StateMachine").values()
    substitutions = state_machine["Properties"]["DefinitionSubstitutions"]
    host = f"{registry('knn')[region]}.dkr.ecr.{region}.{domain}"
    assert resolved(substitutions["KnnImage"]) == f"{host}/knn:1"
    assert resolved(substitutions["FactorizationMachinesImage"]) == f"{host}/factorization-machines:1"
    assert (
        resolved(substitutions["RunTrainingJob"])
        == f"arn:{partition}:states:::sagemaker:createTrainingJob.sync"
    )


def test_the_template_refuses_a_region_without_images(synthesis: Any) -> None:
    rules = synthesis.template("FmRecPipeline")["Rules"]
    (rule,) = (rule for name, rule in rules.items() if "RegionHasImages" in name)
    (assertion,) = rule["Assertions"]
    listed, asked = assertion["Assert"]["Fn::Contains"]
    assert asked == {"Ref": "AWS::Region"}
    assert listed == sorted(registry("knn"))
    assert "mx-central-1" not in listed
    assert "no images" in assertion["AssertDescription"]
