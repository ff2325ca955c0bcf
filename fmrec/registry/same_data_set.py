"""Whether a run's data is still that of the data set which is served.

A data set's champion, lists and endpoints are replaced by its next run, so a run on other data under the same
name would compare its model with an unrelated one and publish over its lists. Ids tell, and where ids of two
catalogues overlap by chance (both count from 1), how often items and users occur: in one catalogue over time
these counts agree in order, in two they don't. Both are checked on samples, so that memory doesn't grow with
the data; the names of each encoding are read once, as a stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.artifacts import layout
from fmrec.artifacts.encoded_run import EncodedRun, open_encoded
from fmrec.errors import InputError
from fmrec.registry.served_encoding import served_manifest
from fmrec.storage import object_store

SAMPLE, BLOCKS = 1000, 20
"""Ids that are looked for, of users and of items, from so many places of the index."""
MINIMUM_SHARE = 0.1
"""Below this share of known ids, of users and of items, data is another catalogue."""
MINIMUM_CORRELATION, MINIMUM_ITEMS = 0.1, 100
"""Rank correlation of counts below which, with so many common items, ids are the same by chance. Of 1,000
unrelated pairs it is 0 ± 0.03."""


@dataclass(frozen=True)
class Overlap:
    """How much of two encodings is the same, of users or of items."""

    share: float
    """The larger of: known ids among this one's, known ids among the other's."""
    common: int
    """Of the sampled ids."""
    correlation: float | None
    """Of how often the common ids occur, by rank; None where that is the same everywhere."""


def check_same(manifest_uri: str, served_uri: str) -> None:
    """Refuse an encoding of another catalogue than the one that is served.

    Parameters
    ----------
    manifest_uri
        The run's manifest.json.
    served_uri
        The record of what serves the data set: the champion's, or the scoring endpoint's.

    Raises
    ------
    InputError
        The data has next to nothing in common with what is served.
    FormatError
        The record can't be read.
    """
    served = _served_manifest(served_uri)
    if served is None or served == manifest_uri:
        return
    old, new = open_encoded(served), open_encoded(manifest_uri)
    found = {namespace: compare(old, new, namespace) for namespace in ("user", "item")}
    reason = _difference(found["user"], found["item"])
    if reason is None:
        return
    name = new.manifest.dataset_name
    raise InputError(
        f"the data of this run is another catalogue than the one that is served as the data set {name!r}, which the "
        f'run {old.manifest.run} encoded: {reason}. To serve both, name this one: add "name": "<another name>" to the '
        "execution's input or to the data set document; each name has its own lists, models and endpoints. To replace "
        'what is served, add "replace_catalogue": true (`fmrec run --replace-catalogue`)'
    )


def _difference(users: Overlap, items: Overlap) -> str | None:
    """What shows that two encodings are of different catalogues; None if nothing does."""
    if max(users.share, items.share) < MINIMUM_SHARE:
        return (
            f"{users.share:.0%} of the users and {items.share:.0%} of the items have ids that are known there "
            f"(expected {MINIMUM_SHARE:.0%} of either)"
        )
    unrelated = (
        items.common >= MINIMUM_ITEMS
        and items.correlation is not None
        and max(items.correlation, users.correlation or 0.0) < MINIMUM_CORRELATION
    )
    if unrelated:
        return (
            "the ids are the same, but how often each item and each user occurs has nothing to do with how often it "
            f"did (rank correlations of {items.correlation:.2f} and {users.correlation or 0.0:.2f}, expected "
            f"{MINIMUM_CORRELATION:g})"
        )
    return None


def _served_manifest(served_uri: str) -> str | None:
    """The manifest of what serves; None if nothing does, or its encoding has been deleted by age."""
    uri = served_manifest(served_uri, "judged against popularity alone")
    if uri is None:
        return None
    folder = uri.rsplit("/", 1)[0]
    kept = object_store.is_listed(uri) and object_store.list_objects(f"{folder}/{layout.FEATURE_INDEX}")
    return uri if kept else None


def compare(old: EncodedRun, new: EncodedRun, namespace: str) -> Overlap:
    """Look for a sample of each encoding's ids in the other; ``namespace`` is ``user`` or ``item``."""
    sample = _sample(old, namespace)
    found = _counts(sample, new, namespace)
    share = len(found) / max(len(sample), 1)
    if share < MINIMUM_SHARE:
        # The data may be a small part of what is served, or have grown to many times it.
        other = _sample(new, namespace)
        known = _counts(other, old, namespace)
        if len(known) / max(len(other), 1) > share:
            sample, found, share = other, known, len(known) / len(other)
    return Overlap(
        share, len(found), rank_correlation([sample[name] for name in found], list(found.values()))
    )


def _sample(run: EncodedRun, namespace: str) -> dict[str, int]:
    """Ids from all over the index, and how often they occur."""
    first, last = run.manifest.ranges[namespace]
    block = SAMPLE // BLOCKS
    if last - first <= SAMPLE:
        places = [(first, last)]
    else:
        starts = np.linspace(first, last - block, BLOCKS).astype(int).tolist()
        places = [(start, start + block) for start in starts]
    found: dict[str, int] = {}
    for start, end in places:
        names, counts = run.feature_index.names(start, end), run.feature_index.interactions(start, end)
        found |= dict(zip(names.to_pylist(), counts.tolist(), strict=True))
    return found


def _counts(wanted: dict[str, int], run: EncodedRun, namespace: str) -> dict[str, int]:
    """How often the wanted ids that the encoding knows occur in it."""
    return run.feature_index.counts(wanted, *run.manifest.ranges[namespace])


def rank_correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Spearman's, with mean ranks for ties; None for fewer than two values or where all are the same."""
    ranks = [_ranks(np.asarray(values, np.float64)) for values in (first, second)]
    if len(ranks[0]) < 2 or any(np.ptp(values) == 0 for values in ranks):
        return None
    centred = [values - values.mean() for values in ranks]
    return float(centred[0] @ centred[1] / np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks
