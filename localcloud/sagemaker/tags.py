"""Tags of SageMaker resources: AddTags, ListTags, DeleteTags."""

from __future__ import annotations

from typing import Any

from localcloud.faults import ServiceFault
from localcloud.sagemaker.platform import Platform
from localcloud.sagemaker.records import Record

KIND = "tags"
_MOST = 50


class Tags:
    """Tags by ARN, in the order in which they were added."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def add(self, parameters: dict[str, Any]) -> Record:
        """Add tags to a resource, replacing those of the same key."""
        arn = parameters["ResourceArn"]
        with self._platform.records.lock:
            merged = {tag["Key"]: tag for tag in [*self._of(arn), *parameters["Tags"]]}
            if len(merged) > _MOST:
                raise ServiceFault("ValidationException", f"A resource can have at most {_MOST} tags.")
            self.start(arn, list(merged.values()))
        return {"Tags": list(merged.values())}

    def page(self, parameters: dict[str, Any]) -> Record:
        """All tags of a resource; there are never more than a page of them."""
        return {"Tags": self._of(parameters["ResourceArn"])}

    def delete(self, parameters: dict[str, Any]) -> Record:
        """Remove tags by key."""
        arn = parameters["ResourceArn"]
        with self._platform.records.lock:
            self.start(arn, [tag for tag in self._of(arn) if tag["Key"] not in parameters["TagKeys"]])
        return {}

    def start(self, arn: str, tags: list[dict[str, str]]) -> None:
        """The tags of a new resource; what an earlier one of that name had is forgotten."""
        if tags:
            self._platform.records.put(KIND, arn, {"Tags": tags})
        else:
            self._platform.records.delete(KIND, arn)

    def _of(self, arn: str) -> list[dict[str, str]]:
        record = self._platform.records.get(KIND, arn)
        return [] if record is None else list(record["Tags"])
