"""The role under which SageMaker trains, transforms and serves."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from constructs import Construct

from fmrec.artifacts import layout
from stacks.access import (
    Permission,
    attach_volumes,
    grant,
    put_metrics,
    read_objects,
    use_key,
    without_resource,
    write_objects,
    write_service_logs,
)
from stacks.image_registry import ALGORITHMS
from stacks.images import AlgorithmImages
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
        repositories = [images.repository_arn(algorithm) for algorithm in ALGORITHMS]
        grant(
            self,
            *read_objects(storage, layout.ENCODED, layout.EMBEDDINGS, layout.MODELS),
            write_objects(storage, layout.MODELS, layout.NEIGHBOURS, layout.SCORES),
            use_key(storage.key, write=True),
            *attach_volumes(storage.key),
            Permission(
                ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                repositories,
            ),
            without_resource("ecr:GetAuthorizationToken", why="IAM can't limit it to a registry."),
            write_service_logs(self, "/aws/sagemaker/*", "logs:DescribeLogStreams"),
            put_metrics(*METRIC_NAMESPACES),
        )
