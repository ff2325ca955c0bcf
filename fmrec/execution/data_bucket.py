"""What an execution's input may name in the data bucket, and reading it when the input is checked.

An input comes from outside, so a URI in it is an ``s3://`` URI below a prefix that is meant for it: never a
path of the function that reads it, and no other bucket. What can't be read as what it should be is named by
its place; its content is not repeated in an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fmrec.artifacts import layout
from fmrec.artifacts.manifest import Manifest
from fmrec.dataset.sources import FORMATS
from fmrec.errors import InputError, SettingsError
from fmrec.storage import object_store

MAXIMUM_DOCUMENT_BYTES = 128 * 1024
"""A document becomes a variable of the workflow, whose variables have 256 KiB each."""


@dataclass(frozen=True)
class DataBucket:
    """The bucket of a deployment.

    Parameters
    ----------
    root
        Its URI, ``s3://bucket``.
    """

    root: str

    def check_uri(self, uri: Any, place: str, prefix: str) -> str:
        """Return a URI of an object below a prefix.

        Raises
        ------
        SettingsError
            It is anything else.
        """
        begin = object_store.join(self.root, prefix)
        if not isinstance(uri, str) or not uri.startswith(begin) or uri == begin or ".." in uri.split("/"):
            raise SettingsError(
                f"{place} is {_shown(uri)}: expected the URI of an object below {begin}, which is where this "
                "deployment may read it"
            )
        return uri

    def check_paths(self, dataset: Mapping[str, Any]) -> None:
        """Check where a data set document says that files lie: below ``raw/``, named relative to it or in
        full.

        Raises
        ------
        SettingsError
            A path leads anywhere else.
        """
        check_raw_paths(dataset, object_store.join(self.root, layout.RAW))

    def read_dataset(self, uri: str) -> Any:
        """Read a data set document.

        Raises
        ------
        InputError
            There is none at `uri`, it is too long, or it is not JSON.
        """
        found = [each for each in object_store.list_objects(uri.rpartition("/")[0]) if each.uri == uri]
        if not found:
            raise InputError(f"dataset is {uri!r}: there is no such object; put the document there first")
        if found[0].size > MAXIMUM_DOCUMENT_BYTES:
            raise InputError(
                f"{uri} has {found[0].size:,} bytes: expected a data set document of at most "
                f"{MAXIMUM_DOCUMENT_BYTES:,}"
            )
        try:
            return json.loads(object_store.read_bytes(uri))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{uri} is not JSON: expected a data set document") from error

    def read_manifest(self, run: str) -> Manifest:
        """Read the manifest of a run that has encoded.

        Raises
        ------
        InputError
            There is no finished encoding of that name.
        FormatError
            Its manifest can't be read.
        """
        uri = object_store.join(self.root, f"{layout.ENCODED}{run}/{layout.MANIFEST}")
        if not object_store.is_listed(uri):
            raise InputError(
                f"encoded is {run!r}: there is no finished encoding at {uri}; name a run whose encoding is still "
                "kept, or leave out 'encoded' to encode the data anew"
            )
        return Manifest.from_json(object_store.read_bytes(uri))


def check_raw_paths(dataset: Mapping[str, Any], raw: str) -> None:
    """Raise SettingsError unless all of a data set document's paths stay below the raw prefix."""
    for section in ("interactions", "users", "items"):
        path = (dataset.get(section) or {}).get("path")
        if path is not None:
            _check_raw_path(path, f"{section}.path", raw)


def _check_raw_path(path: Any, place: str, raw: str) -> None:
    text = path if isinstance(path, str) else ""
    inside = text.startswith(raw) if "://" in text else bool(text) and not text.startswith("/")
    # Hadoop takes "file:/etc" for a URI as well.
    scheme, colon, _ = text.partition(":")
    if not inside or ".." in text.split("/") or (colon and "://" not in text and scheme.isalpha()):
        raise SettingsError(
            f"{place} is {_shown(path)}: expected a file, a folder or a glob of {', '.join(FORMATS)}, relative to "
            f"{raw}, or a URI that begins with {raw}"
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
