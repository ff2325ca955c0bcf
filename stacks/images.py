"""Where SageMaker's algorithm images lie, by region, from the SageMaker SDK's own registry data.

``sagemaker-core`` carries the accounts as JSON; they are read as package data, without importing the
SDK, and become a CloudFormation mapping, so that one template serves every region and partition.
"""

from __future__ import annotations

import functools
import json
from importlib.metadata import files
from typing import Any, Literal

from aws_cdk import Aws, CfnMapping, CfnRule, CfnRuleAssertion, Fn, Stack
from constructs import Construct

from fmrec.errors import SettingsError

Algorithm = Literal["factorization-machines", "knn"]

ALGORITHMS: tuple[Algorithm, ...] = ("factorization-machines", "knn")
DISTRIBUTION = "sagemaker-core"
VERSION = "1"
"""The algorithms' stable image tag; the documentation warns against ``latest``."""

ISOLATED_SUFFIXES = {"us-iso": "c2s.ic.gov", "us-isob": "sc2s.sgov.gov", "us-isof": "csp.hci.ic.gov"}
"""Domains of the isolated regions' registries, by the region's first part."""


@functools.cache
def registry(algorithm: Algorithm) -> dict[str, str]:
    """Return the registry's account by region."""
    name = f"image_uri_config/{algorithm}.json"
    paths = [path for path in files(DISTRIBUTION) or () if str(path).endswith(name)]
    if len(paths) != 1:
        raise FileNotFoundError(f"{DISTRIBUTION} holds {len(paths)} files {name}, expected one")
    document: dict[str, Any] = json.loads(paths[0].read_text(encoding="utf-8"))
    accounts: dict[str, str] = document["versions"][VERSION]["registries"]
    return accounts


def domain_suffix(region: str) -> str:
    """Return the domain that ends a registry's host name in a region."""
    if region.startswith("cn-"):
        return "amazonaws.com.cn"
    return ISOLATED_SUFFIXES.get(region.rsplit("-", 2)[0], "amazonaws.com")


def regions() -> list[str]:
    """Return the regions that have the images of all algorithms."""
    return sorted(set.intersection(*(set(registry(algorithm)) for algorithm in ALGORITHMS)))


def check_region(region: str) -> None:
    """Raise SettingsError if a region has no images to train and serve with."""
    if region not in regions():
        raise SettingsError(
            f"the Region is {region!r}: SageMaker has no images of {' and '.join(ALGORITHMS)} there, as far as "
            f"{DISTRIBUTION} knows; deploy to one of {', '.join(regions())}"
        )


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
