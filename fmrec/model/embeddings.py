"""A factorization machine as vectors whose inner product ranks: k-NN's items and batch transform's queries.

An item's vector is ``[p_B, c_B]``, a query's ``[p_A, 1]`` (``FactorizationMachine.fold``), so that product +
offset ``w0 + c_A`` is the model's score. Without side features that is ``[V_i, w_i]`` and ``[V_u, 1]``, as in
AWS's "Extending Amazon SageMaker factorization machines to predict top x recommendations". Several machines
make one index (`fmrec.model.ensemble`), and co-occurrence adds dimensions (`fmrec.model.co_occurrence`). The
files are described in ``docs/contracts.md``. Parts are
computed, written and forgotten one by one, and the model is memory-mapped: memory doesn't grow with users or
items.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec import recordio
from fmrec.artifacts import layout
from fmrec.artifacts.encoded_run import EncodedRun
from fmrec.artifacts.manifest import Manifest
from fmrec.deployment.shape_rule import co_occurrence_factors
from fmrec.errors import InputError
from fmrec.model.co_occurrence import CoOccurrence, learn_from
from fmrec.model.ensemble import Ensemble
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.storage import object_store

MAX_ITEMS = 1 << 24
"""k-NN keeps labels as float32, which counts exactly to here."""
MAX_ITEM_PART = 32 << 20
MAX_QUERY_PART = 5 << 20
"""A part fits one request of batch transform, whose containers take 6 MiB, even if it isn't split."""
SPREAD_BLOCKS, SPREAD_ROWS = 20, 500
"""Blocks of users, and of items, by which spreads are compared, and rows in each."""


def export(
    model: FactorizationMachine | Ensemble,
    manifest: Manifest,
    output_uri: str,
    *,
    queries_per_part: int = 10_000,
    item_rows: Any = None,
    user_rows: Any = None,
    picks: EncodedRun | None = None,
    co_occurrence: float = 0.0,
) -> dict[str, Any]:
    """Write ``items/``, ``queries/``, ``query_offsets/`` and, last, ``embeddings.json`` under a prefix.

    Parameters
    ----------
    model
        Trained on the feature index that the manifest describes.
    manifest
        Column ranges of users and items.
    output_uri
        Prefix on S3 or folder, such as ``s3://bucket/embeddings/<run>/``.
    queries_per_part
        Users a part has at most. Batch transform spreads parts over instances and answers each with one
        file, which is then published at once.
    item_rows, user_rows
        Matrices (items or users, feature_dim) of all features that an item or a user brings, its own column
        among them: SciPy's CSR, or ``fmrec.artifacts.side_feature_rows.SideRows``, of which ranges of rows
        are read one after the other. None where there are no side features. Context of interactions is in
        neither: it has no value when lists are made.
    picks
        The run, whose training interactions say what goes with what; None for the model alone.
    co_occurrence
        How far scores of co-occurrence spread, where the model's own spread by 1; 0 for the model alone.

    Returns
    -------
    dict
        The content of embeddings.json.

    Raises
    ------
    InputError
        Model, manifest and rows don't fit each other, or there are more items than k-NN's labels can tell
        apart.
    """
    if isinstance(model, FactorizationMachine):
        model = Ensemble([model])
    if model.feature_dim != manifest.feature_dim:
        raise InputError(
            f"the model has {model.feature_dim} features, the manifest {manifest.feature_dim}: "
            "they are not of the same run"
        )
    if queries_per_part < 1:
        raise InputError(f"queries_per_part is {queries_per_part}: expected at least 1")
    items = _Side(model, manifest.ranges["item"], item_rows, "item")
    users = _Side(model, manifest.ranges["user"], user_rows, "user")
    if items.count > MAX_ITEMS:
        raise InputError(
            f"there are {items.count} items: k-NN's float32 labels tell at most {MAX_ITEMS} apart; "
            "raise the data set's minimum count for items"
        )
    found = None
    if picks is not None and co_occurrence > 0:
        found = _fitted(items, users, picks, co_occurrence)
    if found is not None and picks is not None:
        items.beside = lambda start, end: found.items[start:end]
        users.beside = lambda start, end: found.users(picks.liked(start, end))
    width = model.num_factors + (found.factors if found else 0) + 1
    document = {
        "dim": width,
        "machine_factors": list(model.machine_factors),
        "co_occurrence": _written(found, co_occurrence, output_uri) if found else None,
        "bias": model.bias,
        "items": items.count,
        "users": users.count,
        "item_parts": list(_write_items(items, output_uri, _rows_within(MAX_ITEM_PART, width))),
        "query_parts": list(
            _write_queries(
                users, output_uri, min(queries_per_part, _rows_within(MAX_QUERY_PART, width)), model.bias
            )
        ),
    }
    text = json.dumps(document, indent=2) + "\n"
    object_store.write_bytes(object_store.join(output_uri, layout.EMBEDDINGS_DOCUMENT), text.encode())
    return document


class _Side:
    """The items or the users of a model, as vectors and constants."""

    def __init__(self, model: Ensemble, columns: tuple[int, int], rows: Any, namespace: str) -> None:
        self.model = model
        self.first, end = columns
        self.count = end - self.first
        self.rows = rows
        self.beside: Callable[[int, int], NDArray[np.float32]] | None = None
        """Further dimensions of ordinals from start to end, (rows, factors)."""
        if rows is not None and rows.shape != (self.count, model.feature_dim):
            raise InputError(
                f"{namespace} rows have the shape {rows.shape}: expected one row for each {namespace} and one "
                f"column for each feature, {(self.count, model.feature_dim)}"
            )

    def vectors(self, start: int, end: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return vectors (rows, k) and constants (rows,) of ordinals ``start`` to ``end``."""
        vectors, constants = self.own(start, end)
        if self.beside is not None:
            vectors = np.hstack([vectors, self.beside(start, end)])
        return vectors, constants

    def own(self, start: int, end: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The same of the model alone."""
        if self.rows is not None:
            return self.model.fold(self.rows[start:end])
        # One feature of value 1 has no pairs: fold returns its parameters.
        return self.model.parameters(self.first + start, self.first + end)

    def some(self) -> NDArray[np.int64]:
        """First ordinals of blocks of `SPREAD_ROWS`, spread evenly."""
        blocks = np.arange(0, self.count, SPREAD_ROWS)
        return blocks[np.unique(np.linspace(0, len(blocks) - 1, SPREAD_BLOCKS).astype(np.int64))]


def _fitted(items: _Side, users: _Side, picks: EncodedRun, weight: float) -> CoOccurrence | None:
    """Vectors of co-occurrence whose scores spread as far as the weight says; None where there are none."""
    factors = co_occurrence_factors(items.count, items.model.machine_factors[0])
    found = learn_from(picks, factors) if factors else None
    if found is None:
        return None
    of_items, of_users, co_items, co_users = [], [], [], []
    for start in items.some().tolist():
        end = min(start + SPREAD_ROWS, items.count)
        of_items.append(np.column_stack(items.own(start, end)))
        co_items.append(found.items[start:end])
    for start in users.some().tolist():
        end = min(start + SPREAD_ROWS, users.count)
        trained = np.setdiff1d(np.arange(start, end), picks.left_out(start, end)) - start
        vectors, _ = users.own(start, end)
        of_users.append(np.column_stack([vectors, np.ones(end - start)])[trained])
        co_users.append(found.users(picks.liked(start, end))[trained])
    return found.weighed(
        weight,
        (np.concatenate(of_users), np.concatenate(of_items)),
        (np.concatenate(co_users), np.concatenate(co_items)),
    )


def _written(found: CoOccurrence, weight: float, output_uri: str) -> dict[str, Any]:
    """Write how much picks count; return what embeddings.json says of co-occurrence."""
    with object_store.open_output(object_store.join(output_uri, layout.PICK_WEIGHTS)) as file:
        np.save(file, found.pick_weights)
    return {"weight": weight, "factors": found.factors, "pick_weights_key": layout.PICK_WEIGHTS}


def _write_items(items: _Side, output_uri: str, rows_per_part: int) -> Iterator[dict[str, Any]]:
    for number, (start, end) in enumerate(_parts(items.count, rows_per_part)):
        vectors, constants = items.vectors(start, end)
        labels = np.arange(start, end, dtype=np.float32)
        key = f"{layout.ITEMS}part-{number:05}.pbr"
        yield {
            "key": key,
            "rows": end - start,
            "bytes": _write_dense(object_store.join(output_uri, key), vectors, constants, labels),
        }


def _write_queries(
    users: _Side, output_uri: str, rows_per_part: int, bias: float
) -> Iterator[dict[str, Any]]:
    for number, (start, end) in enumerate(_parts(users.count, rows_per_part)):
        vectors, constants = users.vectors(start, end)
        key = f"{layout.QUERIES}part-{number:05}.pbr"
        offsets_key = f"{layout.QUERY_OFFSETS}part-{number:05}.npy"
        with object_store.open_output(object_store.join(output_uri, offsets_key)) as file:
            np.save(file, bias + constants)
        yield {
            "key": key,
            "offsets_key": offsets_key,
            "first_user": start,
            "rows": end - start,
            "bytes": _write_dense(object_store.join(output_uri, key), vectors, np.ones(end - start), None),
        }


def _write_dense(
    uri: str, vectors: NDArray[Any], last: NDArray[np.float64], labels: NDArray[np.float32] | None
) -> int:
    """Write ``[vectors, last]`` as dense float32 records; return their bytes."""
    matrix = np.empty((len(vectors), vectors.shape[1] + 1), np.float32)
    matrix[:, :-1] = vectors
    matrix[:, -1] = last
    written = 0
    with object_store.open_output(uri) as file:
        for chunk in recordio.dense_chunks(matrix, labels):
            written += file.write(chunk.data)
    return written


def _parts(count: int, rows_per_part: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, rows_per_part):
        yield start, min(count, start + rows_per_part)


def _rows_within(size: int, width: int) -> int:
    """Return how many dense records of so many values fit, labels included."""
    record = len(recordio.encode_dense(np.zeros((1, width), np.float32), np.zeros(1, np.float32)))
    return max(1, size // record)
