"""The Glue job that turns raw interactions into recordIO-protobuf."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from fmrec.artifacts import layout
from stacks import bundles
from stacks.access import (
    Permission,
    delete_objects,
    grant,
    put_metrics,
    read_objects,
    use_key,
    write_objects,
    write_service_logs,
)
from stacks.settings import Settings
from stacks.storage import StorageStack

SCRIPT = bundles.ROOT / "glue_jobs" / "encode_interactions.py"


class EncodingJob(Construct):
    """Glue 6.0 (Spark 4.1, Python 3.13), with everything that it writes and logs encrypted."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: Settings, storage: StorageStack
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        security = glue.SecurityConfiguration(
            self,
            "Encryption",
            cloud_watch_encryption=glue.CloudWatchEncryption.kms(storage.key),
            job_bookmarks_encryption=glue.JobBookmarksEncryption.client_side_kms(storage.key),
            s3_encryption=glue.S3Encryption.kms(storage.key),
        )
        # The CDK retains it by default, under a name of its own: after `cdk destroy` no deploy would succeed.
        security.apply_removal_policy(RemovalPolicy.DESTROY)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
        self._script = assets.Asset(self, "Script", path=str(SCRIPT))
        self._library = assets.Asset(self, "Library", path=str(bundles.glue_library()))
        self.job = self._job(security)
        self._permit(storage)

    def _job(self, security: glue.ISecurityConfiguration) -> glue.Job:
        own = self._settings.glue
        arguments = {"--enable-auto-scaling": "true"} if own.auto_scaling else {}
        kind = glue.PySparkFlexEtlJob if own.flex else glue.PySparkEtlJob
        job: glue.Job = kind(
            self,
            "Job",
            description="Interactions to recordIO-protobuf, feature index and manifest",
            # The job would let the role read the whole assets bucket, with wildcard actions.
            role=self.role.without_policy_updates(),
            script=glue.Code.from_bucket(self._script.bucket, self._script.s3_object_key),
            extra_python_files=[glue.Code.from_bucket(self._library.bucket, self._library.s3_object_key)],
            glue_version=glue.GlueVersion.V6_0,
            worker_configuration=glue.WorkerConfiguration(
                worker_type=getattr(glue.WorkerType, own.worker_type.replace(".", "_")),
                number_of_workers=own.workers,
            ),
            default_arguments=arguments,
            timeout=Duration.minutes(own.timeout_minutes),
            max_concurrent_runs=own.concurrent_runs,
            security_configuration=security,
        )
        return job

    def _permit(self, storage: StorageStack) -> None:
        grant(
            self.role,
            *read_objects(storage, layout.RAW, layout.ENCODED),
            write_objects(storage, layout.ENCODED),
            delete_objects(storage, layout.ENCODED),
            # The writer aborts what a failed attempt left open under its own prefix.
            Permission(["s3:ListBucketMultipartUploads"], [storage.data.bucket_arn]),
            use_key(storage.key, write=True),
            Permission(
                ["s3:GetObject"],
                [
                    asset.bucket.arn_for_objects(asset.s3_object_key)
                    for asset in (self._script, self._library)
                ],
            ),
            write_service_logs(self, "/aws-glue/*", "logs:AssociateKmsKey"),
            put_metrics("Glue"),
        )
