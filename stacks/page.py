"""The page of `fmrec explore` next to the API: a private bucket, CloudFront in front of it, and the sign-in.

The bucket holds the page's files alone: no data, no secret. CloudFront reads it by Origin Access Control and
sends the headers of `fmrec.explore.page_files`. The page asks the API itself: CloudFront's log has the page's
files in it and no ids.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aws_cdk import Acknowledgment, CfnOutput, CustomResource, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from fmrec.explore import page_files
from stacks import bundles
from stacks.access import Permission, grant
from stacks.api_settings import Jwt
from stacks.functions import FunctionSettings, add_function
from stacks.page_settings import Page
from stacks.settings import Settings
from stacks.storage import StorageStack

DELETING = ("s3:DeleteObject", "s3:DeleteObjectVersion")
"""What DeleteObjects wants, also of versions (S3 API reference, DeleteObjects, "Permissions")."""


class PageHosting(Construct):
    """Bucket, distribution, and the function that writes the files when the stack is deployed."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        page: Page,
        jwt: Jwt,
        api_url: str,
        storage: StorageStack,
        layer: lambda_.ILayerVersion,
    ) -> None:
        super().__init__(scope, construct_id)
        destroyed = settings.retention.removal == "destroy"
        kept_days = settings.retention.log_days
        site = _bucket(self, "Site", storage, removal=RemovalPolicy.DESTROY)
        logs = _bucket(
            self,
            "Logs",
            storage,
            removal=RemovalPolicy.DESTROY if destroyed else RemovalPolicy.RETAIN,
            # CloudFront delivers its log by an ACL.
            ownership=s3.ObjectOwnership.BUCKET_OWNER_PREFERRED,
            expiration=Duration.days(kept_days),
        )
        distribution = _distribution(self, page, site, logs, api_url)
        function, role = add_function(
            self,
            bundles.PAGE_FUNCTION,
            FunctionSettings("Writes the page's files into its bucket at a deployment", timeout_seconds=300),
            settings=settings,
            key=storage.key,
            layer=layer,
        )
        emptied = {
            site: "An earlier version's files may have other names; all of them go with the stack.",
            **(
                {logs: "CloudFront names its log's files; all of them go with the stack."}
                if destroyed
                else {}
            ),
        }
        grant(
            role,
            Permission(["s3:PutObject"], [site.arn_for_objects(name) for name in page_files.NAMES]),
            Permission(["s3:ListBucketVersions"], [bucket.bucket_arn for bucket in emptied]),
            *(_delete_all(self, bucket, reason) for bucket, reason in emptied.items()),
        )
        config = {
            "api": api_url,
            "store_clicks": page.store_clicks,
            "sign_in": {
                "issuer": jwt.issuer,
                "client_id": page.client_id,
                "authorization_endpoint": page.authorization_endpoint,
                "token_endpoint": page.token_endpoint,
                "sign_out_endpoint": page.sign_out_endpoint,
                "scopes": page.scopes,
                "audience": page.audience,
                "resource": page.resource,
                "user_claim": jwt.user_claim,
                "any_user_scope": jwt.any_user_scope,
            },
        }
        written = CustomResource(
            self,
            "Files",
            resource_type="Custom::PageFiles",
            service_token=function.function_arn,
            service_timeout=Duration.seconds(600),
            properties={
                "Bucket": site.bucket_name,
                "Config": Stack.of(self).to_json_string(config),
                "EmptyOnDelete": [bucket.bucket_name for bucket in emptied],
                # CloudFormation asks again when a property changes.
                "Content": _digest(),
            },
        )
        written.node.add_dependency(role)
        # So the buckets are emptied after the distribution is gone, which would write its log.
        distribution.node.add_dependency(written)
        for name, value, description in (
            ("PageUrl", f"{page.origin}/", "The page; its domain's DNS record must name PageTarget."),
            (
                "PageTarget",
                distribution.distribution_domain_name,
                "What the domain's CNAME or alias record names.",
            ),
        ):
            CfnOutput(Stack.of(self), name, value=value, description=description)


def _distribution(
    scope: Construct, page: Page, site: s3.Bucket, logs: s3.Bucket, api_url: str
) -> cloudfront.Distribution:
    distribution = cloudfront.Distribution(
        scope,
        "Distribution",
        comment="The page of fmrec explore, see docs/how-to/deploy-the-page.md",
        domain_names=[page.domain],
        certificate=acm.Certificate.from_certificate_arn(scope, "Certificate", page.certificate),
        minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
        http_version=cloudfront.HttpVersion.HTTP2_AND_3,
        price_class=cloudfront.PriceClass.PRICE_CLASS_100,
        default_root_object="index.html",
        default_behavior=cloudfront.BehaviorOptions(
            origin=origins.S3BucketOrigin.with_origin_access_control(site),
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            allowed_methods=cloudfront.AllowedMethods.ALLOW_GET_HEAD,
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
            response_headers_policy=_headers_policy(
                scope, page_files.deployed_headers(api_url, page.token_origin)
            ),
            compress=True,
        ),
        log_bucket=logs,
        log_file_prefix="page/",
        log_includes_cookies=False,
    )
    Validations.of(distribution).acknowledge(
        Acknowledgment(
            id="AwsSolutions-CFR1", reason="Who may sign in is the issuer's to say, wherever the reader is."
        ),
        Acknowledgment(
            id="AwsSolutions-CFR2",
            reason="It serves a dozen constant files, and no request reaches a program; AWS WAF would cost more than "
            "all else of the page.",
        ),
    )
    return distribution


def _headers_policy(scope: Construct, headers: dict[str, str]) -> cloudfront.ResponseHeadersPolicy:
    custom = ("Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy")
    return cloudfront.ResponseHeadersPolicy(
        scope,
        "Headers",
        comment="No script but the page's own files, no frame, HTTPS only",
        security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
            content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                content_security_policy=headers["Content-Security-Policy"], override=True
            ),
            content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
            frame_options=cloudfront.ResponseHeadersFrameOptions(
                frame_option=cloudfront.HeadersFrameOption.DENY, override=True
            ),
            referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
            ),
            strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                access_control_max_age=Duration.seconds(page_files.HSTS_SECONDS),
                include_subdomains=True,
                override=True,
            ),
        ),
        custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
            custom_headers=[
                cloudfront.ResponseCustomHeader(header=name, value=headers[name], override=True)
                for name in custom
            ]
        ),
    )


def _bucket(
    scope: Construct,
    construct_id: str,
    storage: StorageStack,
    *,
    removal: RemovalPolicy,
    ownership: s3.ObjectOwnership = s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    expiration: Duration | None = None,
) -> s3.Bucket:
    """A bucket of what isn't secret; S3 encrypts it with its own key, the only one that logs can have."""
    return s3.Bucket(
        scope,
        construct_id,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=ownership,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=True,
        server_access_logs_bucket=storage.access_logs,
        server_access_logs_prefix=f"page-{construct_id.lower()}/",
        lifecycle_rules=[
            s3.LifecycleRule(
                id="expire-old-versions",
                expiration=expiration,
                noncurrent_version_expiration=Duration.days(1),
                abort_incomplete_multipart_upload_after=Duration.days(1),
            )
        ],
        removal_policy=removal,
    )


def _delete_all(scope: Construct, bucket: s3.Bucket, reason: str) -> Permission:
    arn = bucket.arn_for_objects("*")
    resolved: Any = Stack.of(scope).resolve(bucket.bucket_arn)
    name = resolved["Fn::GetAtt"][0]
    return Permission(
        DELETING,
        [arn],
        wildcards={f"<{name}.Arn>/*": reason},
    )


def _digest() -> str:
    """Of the page's files."""
    digest = hashlib.sha256()
    for name, kind in page_files.STATIC.values():
        digest.update(json.dumps([name, kind]).encode() + page_files.read(name))
    return digest.hexdigest()
