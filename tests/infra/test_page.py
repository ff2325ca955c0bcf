"""The page that is deployed with the API: private bucket, CloudFront, headers, and what the page is told."""

import json
import re
import zipfile
from typing import Any

import pytest

from fmrec.explore import page_files
from stacks import bundles
from tests.infra.conftest import JWT, PAGE

STACK = "TrialApi"


def test_there_is_no_page_unless_a_setting_says_so(with_api: Any) -> None:
    kinds = {resource["Type"] for resource in with_api.template("FmRecApi")["Resources"].values()}
    assert not {kind for kind in kinds if kind.startswith(("AWS::CloudFront", "AWS::S3", "Custom::"))}
    assert not {name for name in with_api.template("FmRecApi")["Outputs"] if name.startswith("Page")}


@pytest.fixture(scope="module")
def distribution(throw_away: Any) -> dict[str, Any]:
    (found,) = throw_away.resources(STACK, "AWS::CloudFront::Distribution").values()
    config: dict[str, Any] = found["Properties"]["DistributionConfig"]
    return config


def buckets(throw_away: Any) -> dict[str, dict[str, Any]]:
    found = throw_away.resources(STACK, "AWS::S3::Bucket")
    return {re.sub("[0-9A-F]{8}$", "", name): bucket for name, bucket in found.items()}


def test_the_page_is_for_https_since_tls_1_2_under_its_own_domain(distribution: dict[str, Any]) -> None:
    assert distribution["Aliases"] == [PAGE["domain"]]
    assert distribution["ViewerCertificate"] == {
        "AcmCertificateArn": PAGE["certificate"],
        "MinimumProtocolVersion": "TLSv1.2_2021",
        "SslSupportMethod": "sni-only",
    }
    behaviour = distribution["DefaultCacheBehavior"]
    assert behaviour["ViewerProtocolPolicy"] == "https-only"
    assert behaviour["AllowedMethods"] == ["GET", "HEAD"]
    assert distribution["DefaultRootObject"] == "index.html"
    assert "CacheBehaviors" not in distribution
    assert distribution["Logging"]["Prefix"] == "page/"


def test_the_distribution_alone_reads_the_bucket(throw_away: Any, distribution: dict[str, Any]) -> None:
    (origin,) = distribution["Origins"]
    assert "OriginAccessControlId" in origin
    assert origin["S3OriginConfig"] == {"OriginAccessIdentity": ""}
    (control,) = throw_away.resources(STACK, "AWS::CloudFront::OriginAccessControl").values()
    assert control["Properties"]["OriginAccessControlConfig"]["SigningBehavior"] == "always"
    (policy,) = (
        found["Properties"]["PolicyDocument"]["Statement"]
        for name, found in throw_away.resources(STACK, "AWS::S3::BucketPolicy").items()
        if name.startswith("PageSite")
    )
    allowed = [statement for statement in policy if statement["Effect"] == "Allow"]
    assert [statement["Action"] for statement in allowed] == ["s3:GetObject"]
    assert allowed[0]["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert "AWS:SourceArn" in allowed[0]["Condition"]["StringEquals"]
    denied = [statement["Condition"] for statement in policy if statement["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in denied
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied


def test_buckets_are_private_encrypted_and_logged_and_the_log_outlives_the_page(throw_away: Any) -> None:
    found = buckets(throw_away)
    assert found.keys() == {"PageSite", "PageLogs"}
    for bucket in found.values():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert "BucketEncryption" in properties
        assert "DestinationBucketName" in properties["LoggingConfiguration"]
        assert bucket["DeletionPolicy"] == "Delete"  # of a deployment to throw away
    (rule,) = found["PageLogs"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == 90


def test_every_file_comes_with_the_headers_that_the_browser_tests_have(throw_away: Any) -> None:
    (policy,) = throw_away.resources(STACK, "AWS::CloudFront::ResponseHeadersPolicy").values()
    config = policy["Properties"]["ResponseHeadersPolicyConfig"]
    security = config["SecurityHeadersConfig"]
    assert all(each.pop("Override") for each in security.values())
    custom = config["CustomHeadersConfig"]["Items"]
    assert all(each["Override"] for each in custom)
    found = {each["Header"]: each["Value"] for each in custom}
    hsts = security["StrictTransportSecurity"]
    assert hsts.keys() == {"AccessControlMaxAgeSec", "IncludeSubdomains"}
    assert hsts["IncludeSubdomains"] is True
    assert security["ContentTypeOptions"] == {}
    found |= {
        "Content-Security-Policy": written_out(security["ContentSecurityPolicy"]["ContentSecurityPolicy"]),
        "Strict-Transport-Security": f"max-age={hsts['AccessControlMaxAgeSec']}; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": security["FrameOptions"]["FrameOption"],
        "Referrer-Policy": security["ReferrerPolicy"]["ReferrerPolicy"],
    }
    assert found == page_files.deployed_headers(API, "https://sign-in.example")
    assert "unsafe" not in found["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in found["Content-Security-Policy"]


API = "{Http.ApiEndpoint}"


def written_out(value: Any) -> str:
    """A text of attributes of resources, with their names in braces."""
    separator, parts = value["Fn::Join"]
    attributes = [part if isinstance(part, str) else part["Fn::GetAtt"] for part in parts]
    texts = [
        part if isinstance(part, str) else "{" + re.sub("[0-9A-F]{8}$", "", part[0]) + "." + part[1] + "}"
        for part in attributes
    ]
    return str(separator.join(texts))


def test_the_page_is_told_where_to_ask_and_to_sign_in_and_no_secret(throw_away: Any) -> None:
    (files,) = throw_away.resources(STACK, "Custom::PageFiles").values()
    properties = files["Properties"]
    config = json.loads(written_out(properties["Config"]))
    assert config == {
        "api": API,
        "store_clicks": False,
        "sign_in": {
            "issuer": JWT["issuer"],
            "user_claim": "sub",
            "any_user_scope": JWT["any_user_scope"],
            **{name: PAGE[name] for name in PAGE if name not in {"domain", "certificate"}},
        },
    }
    assert re.fullmatch("[0-9a-f]{64}", properties["Content"])
    assert len(properties["EmptyOnDelete"]) == 2
    outputs = throw_away.template(STACK)["Outputs"]
    assert outputs["PageUrl"]["Value"] == "https://page.example.com/"
    assert "PageTarget" in outputs


def test_the_function_that_writes_the_files_writes_these_and_deletes_all_that_earlier_versions_wrote(
    throw_away: Any,
) -> None:
    statements = [
        statement
        for name, policy in throw_away.resources(STACK, "AWS::IAM::Policy").items()
        if name.startswith("PageWrite")
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    allowed = {json.dumps(statement["Action"]): json.dumps(statement["Resource"]) for statement in statements}
    assert '"/*"' not in allowed['"s3:PutObject"']
    assert all(f'"/{name}"' in allowed['"s3:PutObject"'] for name in page_files.NAMES)
    deleting = [resource for action, resource in allowed.items() if "s3:DeleteObjectVersion" in action]
    assert (
        "".join(deleting).count('"/*"') == 2
    )  # of the page's bucket and, in a deployment to throw away, the log's
    assert all(name in "".join(deleting) for name in ("PageSite", "PageLogs"))


def test_the_function_that_writes_the_files_has_them_and_no_other_function_does() -> None:
    folder = "fmrec/explore/static/"
    with zipfile.ZipFile(bundles.function_code(bundles.PAGE_FUNCTION)) as bundle:
        for name, _ in page_files.STATIC.values():
            assert bundle.read(f"{folder}{name}") == page_files.read(name)
            assert name in page_files.NAMES
        files = {name.removeprefix(folder) for name in bundle.namelist() if name.startswith(folder)}
    assert files == {*page_files.NAMES} - {"config.json"}
    with zipfile.ZipFile(bundles.function_code("land_events")) as other:
        assert not [name for name in other.namelist() if name.startswith(folder)]
