"""JSON, JSON Lines, CSV and recordIO-protobuf request bodies as arrays.

Source: SageMaker developer guide, "Common data formats for inference". A JSON instance is one of

    {"features": [0, 1, 0]}
    {"data": {"features": {"values": [0, 1, 0]}}}
    {"data": {"features": {"keys": [0, 945], "shape": [2625], "values": [1, 1]}}}

in ``{"instances": [...]}``, or alone on a line of JSON Lines. Whatever a request holds instead is a
``FormatError`` or an ``InputError``: nothing is converted, cut to an integer or guessed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from algorithms.container.media_types import CSV, JSON, JSON_LINES, RECORDIO, MediaType
from algorithms.container.records import Features, read_payload
from fmrec.errors import FormatError, InputError

_FORMS = (
    'expected {"features": [...]}, {"data": {"features": {"values": [...]}}} or '
    '{"data": {"features": {"keys": [...], "shape": [n], "values": [...]}}}'
)
_LARGEST_SHAPE = 2**63 - 1
_NUMBERS = frozenset({int, float})


def read_request(body: bytes, content_type: MediaType, feature_dim: int) -> Features:
    """Records of a request, checked against the model before anything of their width is allocated.

    Raises
    ------
    InputError
        The body is not what the content type says, its records don't have ``feature_dim`` features, or a
        value is no finite number.
    """
    features = read_payload(body) if content_type.name == RECORDIO else read_text(body, content_type)
    if features.shape[1] != feature_dim:
        raise InputError(
            f"the request's records have {features.shape[1]} features, the model was trained on {feature_dim}"
        )
    if not np.isfinite(features if isinstance(features, np.ndarray) else features.data).all():
        raise InputError("Found missing (NaN) values: a record holds NaN or infinity")
    if not isinstance(features, np.ndarray):
        features.sum_duplicates()
    return features


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
        raise InputError(f"the request's instances have different widths: {_few(sorted(widths))}")
    width = widths.pop()
    values = _values([values for _, values, _ in tensors])
    if all(keys is None for keys, _, _ in tensors):
        return values.reshape(len(tensors), width)
    columns = _columns([range(width) if keys is None else keys for keys, _, _ in tensors], width)
    indptr = np.concatenate([[0], np.cumsum([len(values) for _, values, _ in tensors])])
    matrix: Features = scipy.sparse.csr_matrix((values, columns, indptr), shape=(len(tensors), width))
    return matrix


def _tensor(instance: Any, number: int) -> tuple[list[Any] | None, list[Any], int]:
    """Keys (None if dense), values and width of one instance; what the lists hold is not looked at yet."""
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
    if isinstance(shape, list) and len(shape) == 1:
        shape = shape[0]
    if type(shape) is not int:
        raise FormatError(f'instance {number} is sparse without a "shape" of one integer: {_FORMS}')
    if not 0 < shape <= _LARGEST_SHAPE:
        raise FormatError(
            f"instance {number} has the shape [{_shown(shape)}], expected the number of features of the model"
        )
    if not isinstance(keys, list) or len(keys) != len(values):
        raise FormatError(f"instance {number} has {len(values)} values, and not as many keys")
    return keys, values, shape


def _values(lists: list[list[Any]]) -> NDArray[np.float32]:
    """All values as float32; nothing but JSON numbers within its range is one."""
    flat = list(chain.from_iterable(lists))
    if not _NUMBERS.issuperset(map(type, flat)):
        number, found = _first(lists, lambda value: type(value) not in _NUMBERS)
        raise FormatError(
            f"instance {number} has {_shown(found)} among its values, expected numbers in one list"
        )
    try:
        with np.errstate(over="ignore"):
            values = np.array(flat, np.float64).astype(np.float32)
    except OverflowError:  # an integer beyond float64
        values = np.array([np.inf], np.float32)
    if not np.isfinite(values).all():
        largest = float(np.finfo(np.float32).max)
        number, found = _first(lists, lambda value: not -largest <= value <= largest)
        raise FormatError(f"instance {number} has {_shown(found)} among its values, which is beyond float32")
    return values


def _columns(lists: list[Any], width: int) -> NDArray[np.int64]:
    """All keys as int64, each within ``[0, width)``."""
    flat = list(chain.from_iterable(lists))
    if not {int}.issuperset(map(type, flat)):
        number, found = _first(lists, lambda key: type(key) is not int)
        raise FormatError(
            f"instance {number} has {_shown(found)} among its keys, expected integers in one list"
        )
    try:
        columns = np.array(flat, np.int64)
        outside = bool(((columns < 0) | (columns >= width)).any())
    except OverflowError:
        outside = True
    if outside:
        number, found = _first(lists, lambda key: not 0 <= key < width)
        raise InputError(f"instance {number} has the key {_shown(found)}, outside its shape [{width}]")
    return columns


def _first(lists: list[Any], wrong: Any) -> tuple[int, Any]:
    """Instance and entry of the first entry that is wrong, where it is known that there is one."""
    return next((number, entry) for number, entries in enumerate(lists) for entry in entries if wrong(entry))


def _shown(value: Any) -> str:
    """A JSON value for a sentence: short, ASCII, and never the inside of a list or an object."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _few(widths: list[int]) -> str:
    return str(widths) if len(widths) <= 5 else f"[{', '.join(map(str, widths[:5]))}, …]"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_SCAN: Callable[[str, int], tuple[Any, int]] = vars(_DECODER)["scan_once"]
"""What ``raw_decode`` calls for the value at a position and its end; it raises StopIteration without one."""


def _parse(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body)))
    except RecursionError as error:
        raise FormatError("the body is JSON that is nested too deeply") from error
    except ValueError as error:
        raise FormatError(f"the body is not JSON: {error}") from error


def _parse_lines(body: bytes) -> list[dict[str, Any]]:
    """One JSON object per line, each judged by itself; blank lines are passed over."""
    try:
        lines = body.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(f"the body is not JSON Lines: {error}") from error
    objects = []
    for number, line in enumerate(lines, start=1):
        text = line.strip(" \t\r")
        if not text:
            continue
        try:
            value, end = _SCAN(text, 0)
        except StopIteration as error:
            raise FormatError(f"line {number} of the body is not JSON: it begins with no value") from error
        except RecursionError as error:
            raise FormatError(f"line {number} of the body is JSON that is nested too deeply") from error
        except ValueError as error:
            raise FormatError(f"line {number} of the body is not JSON: {error}") from error
        if end != len(text):
            raise FormatError(
                f"line {number} of the body has more than one JSON value: put each object on a line of its own"
            )
        if not isinstance(value, dict):
            raise FormatError(f"line {number} of the body is no JSON object: {_FORMS}")
        objects.append(value)
    return objects


def _read_csv(body: bytes) -> NDArray[np.float32]:
    if not body.strip():
        raise FormatError("the request holds no record")
    try:
        with np.errstate(over="ignore"):
            return np.loadtxt(
                io.BytesIO(body),
                dtype=np.float32,
                delimiter=",",
                ndmin=2,
                encoding="utf-8",
                comments=None,
            )
    except ValueError as error:
        raise FormatError(f"the body is not CSV of numbers: {error}") from error
