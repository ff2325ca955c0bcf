"""JSON, JSON Lines and CSV request bodies as arrays.

Source: SageMaker developer guide, "Common data formats for inference". A JSON instance is one of

    {"features": [0, 1, 0]}
    {"data": {"features": {"values": [0, 1, 0]}}}
    {"data": {"features": {"keys": [0, 945], "shape": [2625], "values": [1, 1]}}}

in ``{"instances": [...]}``, or alone on a line of JSON Lines.
"""

from __future__ import annotations

import io
import json
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from algorithms.container.media_types import CSV, JSON, JSON_LINES, MediaType
from algorithms.container.records import Features
from fmrec.errors import FormatError, InputError

_FORMS = (
    'expected {"features": [...]}, {"data": {"features": {"values": [...]}}} or '
    '{"data": {"features": {"keys": [...], "shape": [n], "values": [...]}}}'
)


def read_text(body: bytes, content_type: MediaType) -> Features:
    """Records of a JSON, JSON Lines or CSV body.

    Returns
    -------
    scipy.sparse.csr_matrix or numpy.ndarray
        (records, features) float32; sparse if any record is.

    Raises
    ------
    FormatError
        The body is not what the content type says.
    InputError
        Records of different widths, or keys outside a record's shape.
    """
    if content_type.name == CSV:
        return _read_csv(body)
    if content_type.name == JSON_LINES:
        return assemble(_parse_lines(body))
    if content_type.name == JSON:
        document = _parse(body)
        if not isinstance(document, dict) or not isinstance(document.get("instances"), list):
            raise FormatError('the body is JSON without a list under "instances"')
        return assemble(document["instances"])
    raise FormatError(f"{content_type.name} is no text format that this server reads")


def assemble(instances: list[Any]) -> Features:
    """JSON instances as one matrix; see ``read_text``."""
    tensors = [_tensor(instance, number) for number, instance in enumerate(instances)]
    if not tensors:
        raise FormatError("the request holds no instance")
    widths = {width for _, _, width in tensors}
    if len(widths) > 1:
        raise InputError(f"the request's instances have different widths: {sorted(widths)}")
    width = widths.pop()
    try:
        if all(keys is None for keys, _, _ in tensors):
            return np.array([values for _, values, _ in tensors], dtype=np.float32)
        counts = [len(values) for _, values, _ in tensors]
        values = np.fromiter(chain.from_iterable(v for _, v, _ in tensors), np.float32, sum(counts))
        columns = np.fromiter(
            chain.from_iterable(range(width) if keys is None else keys for keys, _, _ in tensors),
            np.int64,
            sum(counts),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"an instance holds something else than numbers: {error}") from error
    indptr = np.concatenate([[0], np.cumsum(counts)])
    outside = np.flatnonzero((columns < 0) | (columns >= width))
    if outside.size:
        instance = int(np.searchsorted(indptr, outside[0], side="right")) - 1
        raise InputError(
            f"instance {instance} has the key {columns[outside[0]]}, outside its shape [{width}]"
        )
    matrix: Features = scipy.sparse.csr_matrix((values, columns, indptr), shape=(len(tensors), width))
    return matrix


def _tensor(instance: Any, number: int) -> tuple[list[int] | None, list[float], int]:
    """Keys (None if dense), values and width of one instance."""
    features = None
    if isinstance(instance, dict):
        data = instance.get("data")
        features = data.get("features") if isinstance(data, dict) else instance.get("features")
    if isinstance(features, list):
        return None, features, len(features)
    if not isinstance(features, dict) or not isinstance(features.get("values"), list):
        raise FormatError(f"instance {number} has a form that is not known: {_FORMS}")
    values, keys, shape = features["values"], features.get("keys"), features.get("shape")
    if keys is None:
        return None, values, len(values)
    if isinstance(shape, int):
        shape = [shape]
    if not (isinstance(shape, list) and len(shape) == 1 and isinstance(shape[0], int)):
        raise FormatError(f'instance {number} is sparse without a "shape" of one number: {_FORMS}')
    if not isinstance(keys, list) or len(keys) != len(values):
        raise FormatError(f"instance {number} has {len(values)} values, and not as many keys")
    return keys, values, shape[0]


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise FormatError(f"the body is not JSON: {error}") from error


def _parse_lines(body: bytes) -> list[Any]:
    # One parse of a list is several times quicker than a parse a line.
    lines = [line for line in body.splitlines() if line.strip()]
    try:
        return list(json.loads(b"[" + b",".join(lines) + b"]"))
    except ValueError:
        for number, line in enumerate(lines):
            try:
                json.loads(line)
            except ValueError as error:
                raise FormatError(f"line {number} of the body is not JSON: {error}") from error
        raise


def _read_csv(body: bytes) -> NDArray[np.float32]:
    try:
        return np.loadtxt(io.BytesIO(body), dtype=np.float32, delimiter=",", ndmin=2, encoding="utf-8")
    except ValueError as error:
        raise FormatError(f"the body is not CSV of numbers: {error}") from error
