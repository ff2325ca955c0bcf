"""Algorithm images in a template: a CloudFormation mapping of all regions' registries, so that one template
serves every region and partition.
"""

from __future__ import annotations

from aws_cdk import Aws, CfnMapping, CfnRule, CfnRuleAssertion, Fn, Stack
from constructs import Construct

from stacks.image_registry import ALGORITHMS, VERSION, Algorithm, domain_suffix, regions, registry


class AlgorithmImages(Construct):
    """The images' URIs in whatever region the stack is deployed to."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        accounts = {algorithm: registry(algorithm) for algorithm in ALGORITHMS}
        self._mapping = CfnMapping(
            self,
            "Registries",
            mapping={
                region: {
                    **{_key(algorithm): accounts[algorithm][region] for algorithm in ALGORITHMS},
                    "Suffix": domain_suffix(region),
                }
                for region in regions()
            },
        )
        # A template may be deployed without the app: then CloudFormation says it, before it makes anything.
        CfnRule(
            self,
            "RegionHasImages",
            assertions=[
                CfnRuleAssertion(
                    assert_=Fn.condition_contains(regions(), Aws.REGION),
                    assert_description="SageMaker has no images of factorization machines and k-NN in this Region: "
                    "deploy to another one (docs/settings.md, Regions).",
                )
            ],
        )

    def account(self, algorithm: Algorithm) -> str:
        """Return a token for the account that owns the registry."""
        return self._mapping.find_in_map(Aws.REGION, _key(algorithm))

    def uri(self, algorithm: Algorithm) -> str:
        """Return a token for the image's URI."""
        suffix = self._mapping.find_in_map(Aws.REGION, "Suffix")
        return f"{self.account(algorithm)}.dkr.ecr.{Aws.REGION}.{suffix}/{algorithm}:{VERSION}"

    def repository_arn(self, algorithm: Algorithm) -> str:
        """Return the ARN of the repository in its owner's account."""
        return Stack.of(self).format_arn(
            service="ecr", account=self.account(algorithm), resource="repository", resource_name=algorithm
        )


def _key(algorithm: Algorithm) -> str:
    """CloudFormation wants letters and digits in a mapping's keys."""
    return "".join(part.capitalize() for part in algorithm.split("-"))
