"""The Glue job that turns raw interactions into recordIO-protobuf."""

from __future__ import annotations

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks import bundles
from stacks.access import grant, read_objects, use_key, write_objects
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
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
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
            role=self.role,
            script=glue.Code.from_asset(str(SCRIPT)),
            extra_python_files=[glue.Code.from_asset(str(bundles.glue_library()))],
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
        stack = Stack.of(self)
        log_groups = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name="/aws-glue/*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        grant(
            self.role,
            [
                *read_objects(storage.data, ("raw/", "encoded/")),
                *write_objects(storage.data, ("encoded/",), delete=True),
                use_key(storage.key, write=True),
                iam.PolicyStatement(
                    actions=[
                        "logs:AssociateKmsKey",
                        "logs:CreateLogGroup",
                        "logs:CreateLogStream",
                        "logs:PutLogEvents",
                    ],
                    resources=[log_groups],
                ),
                iam.PolicyStatement(
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={"StringEquals": {"cloudwatch:namespace": "Glue"}},
                ),
            ],
            wildcards={},
        )
