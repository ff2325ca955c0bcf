"""Checking a document of business rules (`fmrec.recommendations.filters`) before anything is read or paid
for.

Nothing heavy is imported here: settings and an execution's input are checked with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fmrec.artifacts import layout
from fmrec.errors import SettingsError

KEYS = ("allow", "deny", "minimum_popularity", "maximum_per_category", "categories")
LISTS = ("allow", "deny")


class Bucket(Protocol):
    """Of `fmrec.execution.data_bucket.DataBucket`, what is asked here."""

    def check_uri(self, uri: Any, place: str, prefix: str) -> str: ...


def check_rules(document: Any, bucket: Bucket | None = None) -> Mapping[str, Any]:
    """Return a document of rules, all of whose values make sense.

    Parameters
    ----------
    bucket
        Where its URIs must lie; without one they must be ``s3://`` URIs.

    Raises
    ------
    SettingsError
        The rule, what it says, what was expected.
    """
    if not isinstance(document, Mapping):
        raise SettingsError(f"serving.filters is {document!r}: expected a JSON object of business rules")
    for key in document:
        if key not in KEYS:
            raise SettingsError(f"serving.filters has the rule {key!r}: expected one of {', '.join(KEYS)}")
    for key in LISTS:
        value = document.get(key)
        if isinstance(value, str):
            _check_uri(value, key, bucket)
        elif value is not None and not (
            isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        ):
            raise SettingsError(
                f"serving.filters.{key} is {_shown(value)}: expected a list of item ids, as texts, or the URI of one"
            )
    for key in ("minimum_popularity", "maximum_per_category"):
        check_count(document, key)
    if (document.get("maximum_per_category") is None) != (document.get("categories") is None):
        raise SettingsError("serving.filters needs maximum_per_category and categories together")
    if document.get("categories") is not None:
        _check_uri(document["categories"], "categories", bucket)
    return document


def check_segments(uri: Any, bucket: Bucket | None = None) -> None:
    """Check where a file of users' segments is said to lie, as a file of rules.

    Raises
    ------
    SettingsError
        It is no URI, or not of a file that may be read.
    """
    if uri is not None:
        _check_uri(uri, "segments", bucket, "serving")


def check_count(document: Mapping[str, Any], rule: str) -> int | None:
    """Return a rule that is an integer from 1, or None where it is not given."""
    value = document.get(rule)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise SettingsError(f"serving.filters.{rule} is {_shown(value)}: expected an integer from 1")
    return value


def _check_uri(uri: Any, rule: str, bucket: Bucket | None, section: str = "serving.filters") -> None:
    if bucket is not None:
        bucket.check_uri(uri, f"{section}.{rule}", layout.RULES)
    elif not isinstance(uri, str) or not uri.startswith("s3://"):
        raise SettingsError(
            f"{section}.{rule} is {_shown(uri)}: expected the s3:// URI of a file under {layout.RULES} in the "
            "deployment's data bucket"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
