"""Where SageMaker's algorithm images lie, by region, from the SageMaker SDK's own registry data.

``sagemaker-core`` carries the accounts as JSON; they are read as package data, without importing the SDK.
"""

from __future__ import annotations

import functools
import json
from importlib.metadata import files
from typing import Any, Literal

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
