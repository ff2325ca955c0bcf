"""One embedded run's files as arrays: what `encoded` gives, and vectors.

Places and forms are in docs/contracts.md. Everything about users comes by range, so that memory follows
the range; everything about items is held whole, as the k-NN index holds it.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.encoded_run import EncodedRun, folder_of, open_encoded
from fmrec.artifacts.fold_in_parameters import FoldingIn, read_exported, read_folding_in
from fmrec.dataset.section import Section
from fmrec.errors import FormatError, InputError
from fmrec.recordio import decode, encode_dense
from fmrec.storage import object_store

Vectors = npt.NDArray[np.float32]
MAXIMUM_DIM = 1 << 20
"""More than SageMaker's num_factors by far, so that the arrays of a document that lies are not tried."""


@dataclass(frozen=True)
class QueryPart:
    """One part of the queries, as embeddings.json lists it."""

    key: str
    offsets_key: str
    first_user: int
    rows: int
    bytes: int

    @property
    def end_user(self) -> int:
        return self.first_user + self.rows


@dataclass(frozen=True)
class Run(EncodedRun):
    """An encoded and embedded run."""

    embeddings_uri: str
    dim: int
    item_keys: tuple[str, ...]
    query_parts: tuple[QueryPart, ...]
    bias: float | None = None
    """w_0, which is part of the items' offsets; None where an earlier version exported the vectors."""
    machine_factors: tuple[int, ...] | None = None
    """Dimensions of each machine, from the first; None where an earlier version exported the vectors."""
    pick_weights_key: str | None = None
    """Where there are dimensions of co-occurrence, after those of the machines."""

    @functools.cached_property
    def folding_in(self) -> FoldingIn:
        """λ and c that were chosen for this model; the defaults for one of an earlier version."""
        return read_folding_in(self.embeddings_uri)

    def query_part(self, number: int) -> QueryPart:
        if not 0 <= number < len(self.query_parts):
            raise InputError(
                f"there is no query part {number}: {self.embeddings_uri} lists {len(self.query_parts)}, from 0"
            )
        return self.query_parts[number]

    def item_vectors(self) -> Vectors:
        """``[V_i, w_i]`` of every item, float32 (items, dim)."""
        vectors = np.empty((self.manifest.items, self.dim), np.float32)
        found = np.zeros(self.manifest.items, bool)
        for key in self.item_keys:
            uri = self._embedded(key)
            rows, labels = self._decode(uri)
            ordinals = np.zeros(0, np.int64) if labels is None else labels.astype(np.int64)
            if len(ordinals) != len(rows) or (
                len(rows) and not 0 <= ordinals.min() <= ordinals.max() < len(vectors)
            ):
                raise FormatError(f"{uri}: labels are no item ordinals below {len(vectors)}")
            # A part that is in order, as they are exported, is copied faster as a whole.
            first = int(ordinals[0]) if len(ordinals) else 0
            in_order = np.array_equal(ordinals, np.arange(first, first + len(ordinals)))
            place = slice(first, first + len(ordinals)) if in_order else ordinals
            vectors[place] = rows
            found[place] = True
        if not found.all():
            missing = int(np.flatnonzero(~found)[0])
            raise FormatError(f"{self.embeddings_uri}: item {missing} has no vector: export it again")
        return vectors

    def pick_weights(self) -> Vectors | None:
        """How much a pick of each item counts in co-occurrence's dimensions, float32 (items,); None where
        there are no such dimensions.
        """
        if self.pick_weights_key is None:
            return None
        weights: Vectors = self._column(self.pick_weights_key, self.manifest.items, "weight an item")
        return weights

    def query_vectors(self, part: QueryPart) -> Vectors:
        """``[V_u, 1]`` of the part's users, float32 (rows, dim)."""
        uri = self._embedded(part.key)
        rows, _ = self._decode(uri)
        if len(rows) != part.rows:
            raise FormatError(f"{uri} has {len(rows)} queries, {self.embeddings_uri} says {part.rows}")
        return rows

    def queries_of(self, users: npt.NDArray[np.int64]) -> Vectors:
        """``[V_u, 1]`` of users in any order, float32 (users, dim); zeros for -1, who is nobody."""
        found = np.zeros((len(users), self.dim), np.float32)
        for part in self.query_parts:
            here = (users >= part.first_user) & (users < part.end_user)
            if here.any():
                found[here] = self.query_vectors(part)[users[here] - part.first_user]
        return found

    def query_record(self, user: int) -> bytes:
        """The recordIO-protobuf record of one user's query vector, as the batch transform got it."""
        part = next((p for p in self.query_parts if p.first_user <= user < p.end_user), None)
        if part is None:
            raise InputError(
                f"there is no user {user}: {self.embeddings_uri} has {self.manifest.users}, from 0"
            )
        # Dense records of one dimension are equally long.
        size = part.bytes // part.rows
        with object_store.open_input(self._embedded(part.key)) as file:
            file.seek((user - part.first_user) * size)
            return file.read(size)

    def offsets(self, part: QueryPart) -> npt.NDArray[np.float64]:
        """What to add to the products of the part's users, ``w_0 + w_u``: float64 (rows,)."""
        offsets: npt.NDArray[np.float64] = self._column(part.offsets_key, part.rows, "offset a user")
        return offsets

    def replace_queries(self, part: QueryPart, queries: Vectors, offsets: npt.NDArray[np.float64]) -> None:
        """Write other query vectors and offsets in place of a part's; the records are as long as they were.

        Raises
        ------
        InputError
            They are of another shape.
        """
        if queries.shape != (part.rows, self.dim) or offsets.shape != (part.rows,):
            raise InputError(
                f"{part.key} has {part.rows} queries of {self.dim} values: {queries.shape} and {offsets.shape} can't "
                "stand in their place"
            )
        data = io.BytesIO()
        np.save(data, offsets)
        object_store.write_bytes(self._embedded(part.offsets_key), data.getvalue())
        object_store.write_bytes(self._embedded(part.key), encode_dense(queries).data)

    def scores(
        self, products: npt.NDArray[np.floating[Any]], offsets: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Scores (users, n) of products (users, n) and offsets (users,)."""
        scores: npt.NDArray[np.float64] = products.astype(np.float64) + offsets[:, None]
        return sigmoid(scores) if self.binary else scores

    def _decode(self, uri: str) -> tuple[Vectors, npt.NDArray[Any] | None]:
        matrix, labels = decode(object_store.read_bytes(uri))
        if not isinstance(matrix, np.ndarray) or matrix.shape[1] != self.dim:
            raise FormatError(f"{uri} doesn't hold dense vectors of {self.dim} values: export them again")
        return matrix.astype(np.float32, copy=False), labels

    def _column(self, key: str, count: int, what: str) -> Any:
        uri = self._embedded(key)
        found = np.load(io.BytesIO(object_store.read_bytes(uri)), allow_pickle=False)
        if found.shape != (count,):
            raise FormatError(f"{uri} has shape {found.shape}, expected ({count},): one {what}")
        return found

    def _embedded(self, key: str) -> str:
        return object_store.join(folder_of(self.embeddings_uri), key)


def open_run(manifest_uri: str, embeddings_uri: str) -> Run:
    """Read manifest.json and embeddings.json.

    Raises
    ------
    FormatError
        One of them is not what docs/contracts.md says, or they are of different runs.
    """
    encoded = open_encoded(manifest_uri)
    manifest = encoded.manifest
    section = read_exported(embeddings_uri)
    sizes = (section.integer("users", least=0), section.integer("items", least=0))
    dim = section.integer("dim", least=1, most=MAXIMUM_DIM)
    items = tuple(part.text("key") for part in section.sections("item_parts"))
    queries = tuple(
        QueryPart(
            part.text("key"),
            part.text("offsets_key"),
            part.integer("first_user", least=0),
            part.integer("rows", least=1),
            part.integer("bytes", least=0),
        )
        for part in section.sections("query_parts")
    )
    if sizes != (manifest.users, manifest.items):
        raise FormatError(
            f"{embeddings_uri} has {sizes[0]} users and {sizes[1]} items, {manifest_uri} has "
            f"{manifest.users} and {manifest.items}: they are not of the same run"
        )
    bias = section.number("bias", None)
    factors, key = _blocks(section, dim)
    return Run(manifest, manifest_uri, embeddings_uri, dim, items, queries, bias, factors, key)


def _blocks(section: Section, dim: int) -> tuple[tuple[int, ...] | None, str | None]:
    """Dimensions of each machine, and where the weights of co-occurrence's picks are."""
    factors = section.take("machine_factors", None)
    if factors is None:
        return None, None
    beside = section.section("co_occurrence") if "co_occurrence" in section else None
    further = beside.integer("factors", least=1) if beside else 0
    known = isinstance(factors, list) and all(type(each) is int and each > 0 for each in factors)
    if not known or sum(factors) + further + 1 != dim:
        raise section.error(
            "machine_factors",
            f"the factors of each machine, which with {further} of co-occurrence and 1 are {dim}",
        )
    return tuple(factors), beside.text("pick_weights_key") if beside else None


def sigmoid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow; SciPy, which has it too, is not in the Lambda's layer."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)
