"""JSON, JSON Lines and CSV request bodies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from algorithms.container.media_types import CSV, JSON, JSON_LINES, MediaType, choose_reply_type
from algorithms.container.payload import read_text
from fmrec.errors import FormatError, InputError

DENSE = {"features": [0, 1.5, 0]}
DENSE_IN_DATA = {"data": {"features": {"values": [0, 1.5, 0]}}}
SPARSE = {"data": {"features": {"keys": [1], "shape": [3], "values": [1.5]}}}
SPARSE_UNDER_FEATURES = {"features": {"keys": [1], "shape": 3, "values": [1.5]}}


@pytest.mark.parametrize("instance", [DENSE, DENSE_IN_DATA, SPARSE, SPARSE_UNDER_FEATURES])
@pytest.mark.parametrize("lines", [False, True])
def test_every_form_of_an_instance_means_the_same(instance: dict[str, object], lines: bool) -> None:
    if lines:
        features = read_text((json.dumps(instance) + "\n").encode() * 2 + b"\n", MediaType(JSON_LINES))
    else:
        features = read_text(json.dumps({"instances": [instance] * 2}).encode(), MediaType(JSON))
    dense = features if isinstance(features, np.ndarray) else features.toarray()
    assert dense.dtype == np.float32
    assert dense.tolist() == [[0, 1.5, 0], [0, 1.5, 0]]


def test_dense_and_sparse_instances_may_be_mixed() -> None:
    features = read_text(json.dumps({"instances": [DENSE, SPARSE]}).encode(), MediaType(JSON))
    assert not isinstance(features, np.ndarray)
    assert features.toarray().tolist() == [[0, 1.5, 0], [0, 1.5, 0]]


def test_csv_is_a_record_a_line() -> None:
    assert read_text(b"1,2.5\n-3,4e2\n", MediaType(CSV)).tolist() == [[1, 2.5], [-3, 400]]


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        (JSON, b"{", "is not JSON"),
        (JSON, b"[]", 'without a list under "instances"'),
        (JSON, b'{"instances": []}', "holds no instance"),
        (JSON, b'{"instances": [{"x": 1}]}', "instance 0 has a form that is not known"),
        (JSON, b'{"instances": [{"features": ["a"]}]}', "something else than numbers"),
        (JSON_LINES, b'{"features": [1]}\n{"features": \n', "line 1 of the body is not JSON"),
        (CSV, b"1,x\n", "is not CSV of numbers"),
        (
            JSON,
            b'{"instances": [{"data": {"features": {"keys": [1], "values": [1]}}}]}',
            'sparse without a "shape"',
        ),
        (
            JSON,
            b'{"instances": [{"data": {"features": {"keys": [1, 2], "shape": [3], "values": [1]}}}]}',
            "1 values, and not as many keys",
        ),
    ],
)
def test_what_is_not_the_format_is_refused(content_type: str, body: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_text(body, MediaType(content_type))


def test_instances_of_different_widths_are_refused() -> None:
    body = json.dumps({"instances": [{"features": [1]}, {"features": [1, 2]}]}).encode()
    with pytest.raises(InputError, match=r"different widths: \[1, 2\]"):
        read_text(body, MediaType(JSON))


def test_a_key_outside_the_shape_is_refused() -> None:
    body = {"instances": [SPARSE, {"data": {"features": {"keys": [3], "shape": [3], "values": [1]}}}]}
    with pytest.raises(InputError, match=r"instance 1 has the key 3, outside its shape \[3\]"):
        read_text(json.dumps(body).encode(), MediaType(JSON))


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("Application/JSONLines; Verbose=true", "application/jsonlines"),
        ("text/plain, application/jsonlines", "application/jsonlines"),
        ("text/plain", None),
    ],
)
def test_the_reply_type_is_the_first_that_is_offered(accept: str | None, chosen: str | None) -> None:
    found = choose_reply_type(accept, (JSON, JSON_LINES), JSON)
    assert (found and found.name) == chosen


def test_parameters_may_have_blanks() -> None:
    assert MediaType.parse("application/json;verbose=true").is_true("verbose")
    assert MediaType.parse("application/json ; verbose = true ").is_true("verbose")
    assert not MediaType.parse("application/json").is_true("verbose")
