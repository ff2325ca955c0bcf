"""What outlives deployments and runs: the key, the buckets, the table of recommendations, the topic."""

from __future__ import annotations

from typing import Any

from aws_cdk import Acknowledgment, ArnFormat, CfnOutput, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from fmrec.artifacts import layout
from fmrec.events.event_table import ENTRY, USER
from stacks.settings import Retention, Settings


class StorageStack(Stack):
    """Everything with a state, apart from what is only code, so that the pipeline can be replaced."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        retention = settings.retention
        removal = RemovalPolicy.DESTROY if retention.removal == "destroy" else RemovalPolicy.RETAIN
        self.key = kms.Key(
            self,
            "Key",
            description=f"{settings.name}: interactions, models, recommendations and messages",
            enable_key_rotation=True,
            removal_policy=removal,
        )
        self.key.add_alias(f"alias/{settings.prefix}")
        self.access_logs = self._access_log_bucket(retention, removal)
        self.data = self._data_bucket(retention, removal)
        self.objects_export = f"{construct_id}-DataBucketArn"
        self.objects_arn: str = self.export_value(self.data.bucket_arn, name=self.objects_export)
        """The data bucket's ARN as other stacks are to read it in what they permit."""
        self.table = dynamodb.Table(
            self,
            "Recommendations",
            partition_key=dynamodb.Attribute(name="user_id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=removal,
        )
        self.locks = dynamodb.Table(
            self,
            "Locks",
            partition_key=dynamodb.Attribute(name="dataset", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            # Items say which execution publishes now, and what the starting function has started: nothing to
            # restore, since without them the next run starts as if it were the first.
            removal_policy=RemovalPolicy.DESTROY,
        )
        Validations.of(self.locks).acknowledge(
            Acknowledgment(
                id="AwsSolutions-DDB3",
                reason="It holds who publishes now and what was started last, for each data set.",
            )
        )
        self.events = None if settings.events is None else self._event_table(removal)
        self.topic = self._topic(settings)
        # The pipeline's own log groups: what CloudFormation names, and the workflow's.
        pipeline = f"{settings.name}Pipeline"
        self._let_logs_encrypt("/aws-glue/*", f"{pipeline}-*", f"/aws/vendedlogs/states/{pipeline}-*")
        if settings.api is not None:
            api = f"{settings.name}Api"
            self._let_logs_encrypt(f"{api}-*", f"/aws/vendedlogs/apis/{api}-*")
        self._outputs(settings.dataset_name)

    def _event_table(self, removal: RemovalPolicy) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "Events",
            partition_key=dynamodb.Attribute(name=USER, type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name=ENTRY, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            time_to_live_attribute="expires",
            removal_policy=removal,
        )

    def _access_log_bucket(self, retention: Retention, removal: RemovalPolicy) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "AccessLogs",
            # S3 delivers access logs only to buckets encrypted with its own keys.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="expire-access-logs",
                    expiration=Duration.days(retention.log_days),
                    noncurrent_version_expiration=Duration.days(1),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=removal,
            auto_delete_objects=removal is RemovalPolicy.DESTROY,
        )
        Validations.of(bucket).acknowledge(
            Acknowledgment(
                id="AwsSolutions-S1",
                reason="It receives the access logs of the data bucket; logging itself would never end.",
            )
        )
        return bucket

    def _data_bucket(self, retention: Retention, removal: RemovalPolicy) -> s3.Bucket:
        return s3.Bucket(
            self,
            "Data",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix="data/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="abort-incomplete-uploads", abort_incomplete_multipart_upload_after=Duration.days(2)
                ),
                s3.LifecycleRule(
                    id="expire-old-versions",
                    noncurrent_version_expiration=Duration.days(retention.noncurrent_days),
                    expired_object_delete_marker=True,
                ),
                *(
                    s3.LifecycleRule(
                        id=f"expire-{prefix.rstrip('/')}",
                        prefix=prefix,
                        expiration=Duration.days(retention.intermediate_days),
                    )
                    for prefix in layout.INTERMEDIATE
                ),
            ],
            removal_policy=removal,
            auto_delete_objects=removal is RemovalPolicy.DESTROY,
        )

    def _topic(self, settings: Settings) -> sns.Topic:
        topic = sns.Topic(
            self,
            "Notifications",
            display_name=f"{settings.name} runs",
            master_key=self.key,
            enforce_ssl=True,
        )
        # Alarms publish as the CloudWatch service, which needs the key of an encrypted topic.
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        if settings.notification_email:
            topic.add_subscription(subscriptions.EmailSubscription(settings.notification_email))
        return topic

    def _let_logs_encrypt(self, *log_groups: str) -> None:
        """Let CloudWatch Logs encrypt the log groups of these patterns with the key."""
        arns = [
            self.format_arn(
                service="logs",
                resource="log-group",
                resource_name=pattern,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
            for pattern in log_groups
        ]
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{self.region}.{self.url_suffix}")],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                ],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arns}},
            )
        )

    def _outputs(self, dataset_name: str) -> None:
        for name, value, description in (
            (
                "DataBucket",
                self.data.bucket_name,
                f"Put interactions under {layout.RAW}; everything else lies next to it.",
            ),
            ("RecommendationsTable", self.table.table_name, "DynamoDB table of recommendations by user_id."),
            ("DatasetName", dataset_name, "The data set of runs whose input names none."),
            ("LocksTable", self.locks.table_name, "DynamoDB table of locks and of what was started."),
            ("NotificationsTopic", self.topic.topic_arn, "Subscribe to hear how runs ended."),
        ):
            CfnOutput(self, name, value=value, description=description)
