"""Side features: from what was read of texts to named values with weights.

Each kind of feature turns what ``Reading.read`` returns for a text into entries, (name, weight) pairs; names
get feature ids of their own in the feature's namespace. What depends on the whole data (mean and deviation,
quantiles) is measured first: exactly, and as few numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fmrec.encoding.feature_index import NAME, NAMESPACE
from fmrec.encoding.features.reading import Reading

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
READ_TYPE = pa.struct(
    [
        ("present", pa.bool_()),
        ("number", pa.float64()),
        ("names", pa.list_(pa.string())),
        ("unusable", pa.string()),
    ]
)
"""What ``Reading.read`` returns, in Arrow."""
NOISE = 1e-11
"""What sums of doubles leave of a mean or a deviation that is 0, as a share of the other one, at most."""


@dataclass(frozen=True)
class Entries:
    """The entries of a feature's texts.

    Parameters
    ----------
    lengths : int64 array (texts,)
        How many entries each text has.
    names : StringArray (sum of lengths,)
    weights : float32 array (sum of lengths,)
    """

    lengths: Ints
    names: pa.Array
    weights: NDArray[np.float32]

    @property
    def owners(self) -> Ints:
        """The place of each entry's text."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


@dataclass(frozen=True)
class Measured:
    """A feature and what was measured of its texts."""

    reading: Reading
    mean: float = 0.0
    deviation: float = 0.0
    boundaries: tuple[float, ...] = ()

    @classmethod
    def of_moments(cls, reading: Reading, mean: float, deviation: float) -> Measured:
        """Take a mean and a deviation, whose last digits depend on the order in which numbers are added."""
        size, spread = abs(mean), abs(deviation)
        mean = 0.0 if size <= NOISE * spread else mean
        deviation = 0.0 if spread <= NOISE * size else deviation
        return cls(reading, float(f"{mean:.9g}"), float(f"{deviation:.9g}"))

    @classmethod
    def of_numbers(cls, reading: Reading, numbers: Floats, times: Ints) -> Measured:
        """Measure numbers that are all at hand, each of which occurs so many times."""
        kind = reading.feature.kind
        if kind == "numeric" and len(numbers):
            total = times.sum()
            mean = float((numbers * times).sum() / total)
            deviation = float(np.sqrt(((numbers - mean) ** 2 * times).sum() / total))
            return cls.of_moments(reading, mean, deviation)
        if kind == "bucket":
            x, place = np.unique(numbers + 0.0, return_inverse=True)  # no minus zero
            counts = np.zeros(len(x), np.int64)
            np.add.at(counts, place, times)
            found = quantiles(x, counts, reading.feature.buckets or 1, int(counts.sum()))
            return cls(reading, boundaries=tuple(found))
        return cls(reading)

    def entries(self, reads: pa.StructArray) -> Entries:
        """Return the entries of texts as ``Reading.read`` read them."""
        feature = self.reading.feature
        if not self.reading.is_number:
            names = reads.field("names")
            lengths = np.asarray(names.value_lengths().fill_null(0)).astype(np.int64)
            weights = feature.scale / np.repeat(lengths, lengths)
            return Entries(lengths, names.flatten(), weights.astype(np.float32))
        numbers, there = numbers_of(reads)
        if feature.kind == "bucket":
            places = np.searchsorted(self.boundaries, numbers, side="left")
            names = pa.array(self._buckets()).take(pa.array(places))
            weights = np.full(len(numbers), feature.scale)
            return Entries(there.astype(np.int64), names, weights.astype(np.float32))
        if not self.deviation:
            numbers, there = numbers[:0], np.zeros(len(there), np.bool_)
        scaled = (numbers - self.mean) / (self.deviation or 1.0) * feature.scale
        with np.errstate(over="ignore"):
            return Entries(
                there.astype(np.int64), pa.repeat(feature.name, len(scaled)), scaled.astype(np.float32)
            )

    def _buckets(self) -> list[str]:
        edges = [f"{edge:g}" for edge in self.boundaries]
        pairs = zip(["-inf", *edges], [*edges, "inf"], strict=True)
        return [f"{at} ({low}, {high}]" for at, (low, high) in enumerate(pairs)]


def numbers_of(reads: pa.StructArray) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the numbers of those texts that have one, and which texts those are."""
    found = reads.field("number")
    there = np.asarray(found.is_valid())
    return np.asarray(found.drop_null()).astype(np.float64), there


def quantiles(x: Floats, counts: Ints, buckets: int, total: int, before: int = 0) -> list[float]:
    """Return the exact inner quantiles of numbers: those up to which another one of ``buckets`` is full.

    Parameters
    ----------
    x : float64 array
        Distinct numbers, ascending.
    counts : int64 array
        How often each occurs.
    total, before : int
        How many numbers there are in all, and how many are smaller than all of ``x``.
    """
    upto = before + np.cumsum(counts)
    crossing = upto * buckets // max(1, total) > (upto - counts) * buckets // max(1, total)
    found: list[float] = x[crossing & (upto < total)].tolist()
    return found


def of_feature(reads: pa.ListArray, at: int, features: int) -> pa.StructArray:
    """Return the reads of one feature from lists of as many reads as there are features."""
    flat = reads.flatten()
    return flat.take(pa.array(np.arange(at, len(flat), features)))


def placed_entries(reads: pa.ListArray, measured: Iterable[tuple[int, Measured]]) -> pa.ListArray:
    """Return the entries of several features as lists of ``NAMESPACE``, ``NAME`` and ``weight``.

    Parameters
    ----------
    reads : ListArray
        Of each owner one read per feature.
    measured : iterable of (int, Measured)
        The features, and the ordinals of their namespaces.
    """
    features = list(measured)
    found = [
        (ordinal, one.entries(of_feature(reads, at, len(features))))
        for at, (ordinal, one) in enumerate(features)
    ]
    owners = np.concatenate([entries.owners for _, entries in found])
    order = pa.array(np.argsort(owners, kind="stable"))
    arrays = [
        pa.concat_arrays(
            [pa.repeat(pa.scalar(ordinal, pa.int32()), len(entries.names)) for ordinal, entries in found]
        ),
        pa.concat_arrays([entries.names.cast(pa.string()) for _, entries in found]),
        pa.concat_arrays([pa.array(entries.weights) for _, entries in found]),
    ]
    rows = pa.StructArray.from_arrays(arrays, [NAMESPACE, NAME, "weight"]).take(order)
    ends = np.cumsum(sum((entries.lengths for _, entries in found), np.zeros(len(reads), np.int64)))
    return pa.ListArray.from_arrays(pa.array(np.concatenate(([0], ends)), pa.int32()), rows)
