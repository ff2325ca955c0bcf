"""The deployed page in its bucket, its files and config.json, as a custom resource of CloudFormation.

Source: CloudFormation user guide, "Custom resources" (request and response objects).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from fmrec.explore import page_files
from fmrec.explore.page_files import CONFIG, STATIC

REVALIDATED = "no-cache"
"""CloudFront and browsers ask each time whether a file is still the same: a deployment is seen at once."""
REASON_CHARACTERS = 1000
VERSIONS_AT_ONCE = 1000
"""DeleteObjects takes no more."""


def publish(s3: Any, bucket: str, config: Mapping[str, Any]) -> None:
    """Write the page's files, and last of all the page that asks for them."""
    files = {name: (page_files.read(name), kind) for name, kind in STATIC.values()}
    files[CONFIG.removeprefix("/")] = (json.dumps(config).encode(), "application/json")
    for name in sorted(files, key=lambda each: (each == "index.html", each)):
        content, kind = files[name]
        s3.put_object(Bucket=bucket, Key=name, Body=content, ContentType=kind, CacheControl=REVALIDATED)


def empty(s3: Any, bucket: str) -> None:
    """Delete every version of every object.

    Raises
    ------
    RuntimeError
        S3 has not deleted one.
    """
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": VERSIONS_AT_ONCE}
    )
    for page in pages:
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            continue
        objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        done = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        for error in done.get("Errors", []):
            raise RuntimeError(f"{error['Key']} can't be deleted: {error.get('Code')} {error.get('Message')}")


def answer_cloudformation(event: Mapping[str, Any], s3: Any, where: str) -> None:
    """Do what a custom resource's request asks for, and answer it whatever happens: the stack waits for it.

    Parameters
    ----------
    event
        The request; its properties are ``Bucket``, ``Config`` (JSON) and ``EmptyOnDelete`` (buckets).
    where
        The log to look at, for the answer's reason.
    """
    properties = event["ResourceProperties"]
    status, reason = "SUCCESS", f"see {where}"
    try:
        if event["RequestType"] == "Delete":
            for bucket in properties["EmptyOnDelete"]:
                empty(s3, bucket)
        else:
            publish(s3, properties["Bucket"], json.loads(properties["Config"]))
    except Exception as error:
        status, reason = "FAILED", f"{type(error).__name__}: {error} (see {where})"
    body = {
        "Status": status,
        "Reason": reason[:REASON_CHARACTERS],
        "PhysicalResourceId": f"page-in-{properties['Bucket']}",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    # The URL is signed for a request without a content type.
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own URL
        event["ResponseURL"], json.dumps(body).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass
