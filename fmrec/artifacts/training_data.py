"""Encoded data to train on: whether it is there, whole, and fit for the predictor.

A run may name an encoding that an earlier run left (docs/contracts.md, *The execution input*), and the
lifecycle rules of the data bucket delete encodings by age: what is no longer whole must not train a model.
"""

from __future__ import annotations

from fmrec.artifacts.manifest import Manifest
from fmrec.dataset.labels import check_predictor
from fmrec.errors import InputError
from fmrec.storage import object_store

AGAIN = "encode the data again: start an execution without 'encoded' in its input"


def read(manifest_uri: str, predictor_type: str) -> Manifest:
    """Read an encoding's manifest and check that what it speaks of is there.

    Parameters
    ----------
    manifest_uri
        ``…/encoded/<run>/manifest.json``.
    predictor_type
        What is to be trained on it.

    Raises
    ------
    InputError
        There is no manifest, no training row, or the channels don't have as many parts as it says.
    SettingsError
        The labels don't suit the predictor.
    FormatError
        The manifest can't be read.
    """
    try:
        content = object_store.read_bytes(manifest_uri)
    except InputError as error:
        raise InputError(
            f"there is no finished encoding at {manifest_uri} ({error}): expected the manifest that the encoding "
            f"writes last; name a run whose encoding is still kept, or {AGAIN}"
        ) from error
    manifest = Manifest.from_json(content)
    if not manifest.train.rows:
        raise InputError(
            f"{manifest_uri} counts no training rows: expected some to learn from; look at its split, label "
            f"and dropped_reasons, and {AGAIN}"
        )
    folder = manifest_uri.rsplit("/", 1)[0]
    for channel in (manifest.train, manifest.test):
        found = len(object_store.list_objects(f"{folder}/{channel.prefix}"))
        if found != channel.parts:
            raise InputError(
                f"{folder}/{channel.prefix} has {found} parts: expected the {channel.parts} that "
                f"manifest.json counts; {AGAIN}"
            )
    check_predictor(manifest.dataset["label"]["mode"], predictor_type)
    return manifest
