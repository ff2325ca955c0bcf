"""A serverless endpoint in place of instances, as settings ask for it.

Source: SageMaker developer guide, "Deploy models with Amazon SageMaker Serverless Inference": memory from
1 to 6 GB in steps of 1 GB, at most 200 requests at a time, paid by the time of the calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fmrec.dataset.section import shown
from fmrec.errors import SettingsError
from fmrec.instances.memory import SERVERLESS_MEMORY_MB

INSTANCE_TYPE = "serverless"
"""What candidates and reports have in place of an instance type."""
MAXIMUM_CONCURRENCY = 200


@dataclass(frozen=True)
class Serverless:
    """The section ``serverless`` of a serving section."""

    memory_mb: int = 2048
    """The least; an index or a model that needs more gets more."""
    maximum_concurrency: int = 5
    """Requests at a time; more are throttled."""

    @classmethod
    def of(cls, serving: Mapping[str, Any]) -> Serverless | None:
        """Read the section; None where the endpoint is on instances, which null and false say.

        Raises
        ------
        SettingsError
            It is no JSON object, has an unknown key, or a value out of range.
        """
        given = serving.get("serverless")
        if given is None or given is False:
            return None
        if not isinstance(given, Mapping):
            raise SettingsError(
                f"serving.serverless is {shown(given)}: expected a JSON object of settings, which may be empty, or "
                "false for an endpoint on instances"
            )
        known = asdict(cls())
        unknown = [key for key in given if key not in known]
        if unknown:
            raise SettingsError(f"serving.serverless.{unknown[0]} is unknown: expected {' or '.join(known)}")
        found = cls(
            **{key: default if given.get(key) is None else given[key] for key, default in known.items()}
        )
        if type(found.memory_mb) is not int or found.memory_mb not in SERVERLESS_MEMORY_MB:
            raise SettingsError(
                f"serving.serverless.memory_mb is {shown(found.memory_mb)}: expected one of "
                f"{', '.join(map(str, SERVERLESS_MEMORY_MB))}"
            )
        if type(found.maximum_concurrency) is not int or not (
            1 <= found.maximum_concurrency <= MAXIMUM_CONCURRENCY
        ):
            raise SettingsError(
                f"serving.serverless.maximum_concurrency is {shown(found.maximum_concurrency)}: expected an integer "
                f"from 1 to {MAXIMUM_CONCURRENCY}"
            )
        return found

    def to_document(self) -> dict[str, int]:
        return asdict(self)
