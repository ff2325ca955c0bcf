"""Which program stands in for a container image.

The images of SageMaker's built-in algorithms can't be pulled to a laptop. An image URI is refused
unless it is one that SageMaker could pull in this region: the registries come from the SageMaker
SDK's own data (package ``sagemaker-core``), where the SDK and this project's stacks read them too.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

from localcloud.sagemaker.account import Account

BUILT_IN: Mapping[str, Sequence[str]] = {
    "factorization-machines": (sys.executable, "-m", "algorithms.factorization_machines"),
    "knn": (sys.executable, "-m", "algorithms.knn"),
}
"""Repository name → program that honours SageMaker's container contract."""

_URI = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z0-9.-]+)/(?P<repository>[^:@]+)(?::(?P<tag>[^:@]+))?"
)
_TAGS = (None, "1", "latest")


class Images:
    """Resolves image URIs to programs.

    Parameters
    ----------
    account
        Its region's registry is the only one that may be used.
    programs
        Repository name → command to which ``train`` or ``serve`` is appended.
    """

    def __init__(self, account: Account, programs: Mapping[str, Sequence[str]] = BUILT_IN) -> None:
        self._account = account
        self._programs = programs

    def program(self, uri: str) -> list[str] | None:
        """The command that stands in for an image, or None if SageMaker couldn't pull it."""
        match = _URI.fullmatch(uri)
        if match is None or match["repository"] not in self._programs:
            return None
        registry = registries(match["repository"]).get(self._account.region)
        pullable = (
            match["region"] == self._account.region
            and match["suffix"] == self._account.dns_suffix
            and match["tag"] in _TAGS
            and registry in (None, match["registry"])
        )
        return list(self._programs[match["repository"]]) if pullable else None

    def repository(self, uri: str) -> tuple[str, str]:
        """Repository name and registry id of a URI, as AWS names them in refusals."""
        match = _URI.fullmatch(uri)
        return (match["repository"], match["registry"]) if match else (uri, self._account.number)


@functools.cache
def registries(repository: str) -> Mapping[str, str]:
    """Region → registry account of a built-in algorithm; empty if the SDK's data isn't installed."""
    try:
        distribution = importlib.metadata.distribution("sagemaker-core")
    except importlib.metadata.PackageNotFoundError:
        return {}
    path = pathlib.Path(str(distribution.locate_file(f"sagemaker/core/image_uri_config/{repository}.json")))
    if not path.is_file():
        return {}
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["versions"]["1"]["registries"]
    return found
