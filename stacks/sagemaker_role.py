"""The role under which SageMaker trains, transforms and serves."""

from __future__ import annotations

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.access import attach_volumes, grant, read_objects, use_key, write_objects
from stacks.images import ALGORITHMS, AlgorithmImages
from stacks.storage import StorageStack

METRIC_NAMESPACES = (
    "/aws/sagemaker/Endpoints",
    "/aws/sagemaker/TrainingJobs",
    "/aws/sagemaker/TransformJobs",
)


class SageMakerRole(iam.Role):
    """May read what the algorithms read, write what they write, pull their images, and log."""

    def __init__(
        self, scope: Construct, construct_id: str, *, storage: StorageStack, images: AlgorithmImages
    ) -> None:
        super().__init__(scope, construct_id, assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        stack = Stack.of(self)
        log_groups = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name="/aws/sagemaker/*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        repositories = [
            stack.format_arn(
                service="ecr",
                account=images.account(algorithm),
                resource="repository",
                resource_name=algorithm,
            )
            for algorithm in ALGORITHMS
        ]
        grant(
            self,
            [
                *read_objects(storage.data, ("encoded/", "embeddings/", "models/")),
                *write_objects(storage.data, ("models/", "neighbours/")),
                use_key(storage.key, write=True),
                *attach_volumes(storage.key),
                iam.PolicyStatement(
                    actions=[
                        "ecr:BatchCheckLayerAvailability",
                        "ecr:BatchGetImage",
                        "ecr:GetDownloadUrlForLayer",
                    ],
                    resources=repositories,
                ),
                iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
                iam.PolicyStatement(
                    actions=[
                        "logs:CreateLogGroup",
                        "logs:CreateLogStream",
                        "logs:DescribeLogStreams",
                        "logs:PutLogEvents",
                    ],
                    resources=[log_groups],
                ),
                iam.PolicyStatement(
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={"StringEquals": {"cloudwatch:namespace": list(METRIC_NAMESPACES)}},
                ),
            ],
            wildcards={},
        )
