"""JSON, JSON Lines and CSV request bodies."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from algorithms.container.media_types import CSV, JSON, JSON_LINES, MediaType, choose_reply_type
from algorithms.container.payload import read_request, read_text
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
        (JSON, b"[" * 100_000, "nested too deeply"),
        (JSON, b'{"instances": [{"features": [NaN]}]}', "NaN is no JSON number"),
        (
            JSON,
            b'{"instances": [{"features": [1]}, {"features": ["1"]}]}',
            "instance 1 has '1' among its values",
        ),
        (JSON, b'{"instances": [{"features": [null]}]}', "instance 0 has null among its values"),
        (JSON, b'{"instances": [{"features": [1, true]}]}', "instance 0 has true among its values"),
        (JSON, b'{"instances": [{"features": [[0, 1]]}]}', "instance 0 has a list among its values"),
        (JSON, b'{"instances": [{"features": [{"a": 1}]}]}', "instance 0 has an object among its values"),
        (
            JSON,
            b'{"instances": [{"features": [1e39]}]}',
            "has 1e[+]39 among its values, which is beyond float32",
        ),
        (
            JSON,
            b'{"instances": [{"features": [-1' + b"0" * 400 + b"]}]}",
            "an integer of 1329 bits among its values, which is beyond float32",
        ),
        (JSON_LINES, b'\n{"features": [1]}\n{"features": \n', "line 3 of the body is not JSON"),
        (
            JSON_LINES,
            b'{"features": [1]} {"features": [2]}',
            "line 1 of the body has more than one JSON value",
        ),
        (
            JSON_LINES,
            b'{"features": [1]},{"features": [2]}',
            "line 1 of the body has more than one JSON value",
        ),
        (JSON_LINES, b'{"features": [1\n2]}', "line 1 of the body is not JSON"),
        (JSON_LINES, b'{"features": [1]}\n[{"features": [1]}]', "line 2 of the body is no JSON object"),
        (JSON_LINES, b'{"features": [1]}\n{"features": [\xff]}', "is not JSON Lines: 'utf-8'"),
        (JSON_LINES, b"\n \n", "holds no instance"),
        (CSV, b"1,2#3\n", "is not CSV of numbers"),
        (CSV, b"\n", "holds no record"),
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
        *(
            (
                JSON,
                b'{"instances": [{"features": {"keys": [%s], "shape": %s, "values": [1]}}]}' % (key, shape),
                message,
            )
            for key, shape, message in [
                (b"1.5", b"[3]", "instance 0 has 1.5 among its keys, expected integers"),
                (b'"1"', b"[3]", "instance 0 has '1' among its keys"),
                (b"[1]", b"[3]", "instance 0 has a list among its keys"),
                (b"0", b"[3, 3]", 'without a "shape" of one integer'),
                (b"0", b"[true]", 'without a "shape" of one integer'),
                (b"0", b"3.0", 'without a "shape" of one integer'),
                (b"0", b"[0]", r"has the shape \[0\]"),
                (b"0", b"-3", r"has the shape \[-3\]"),
                (b"0", b"1" + b"0" * 30, "has the shape"),
            ]
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
    body: dict[str, Any] = {
        "instances": [SPARSE, {"data": {"features": {"keys": [3], "shape": [3], "values": [1]}}}]
    }
    with pytest.raises(InputError, match=r"instance 1 has the key 3, outside its shape \[3\]"):
        read_text(json.dumps(body).encode(), MediaType(JSON))
    body["instances"][1]["data"]["features"]["keys"] = [10**30]
    with pytest.raises(InputError, match=r"instance 1 has the key 10{30}, outside its shape \[3\]"):
        read_text(json.dumps(body).encode(), MediaType(JSON))


def test_a_request_of_another_width_is_refused_before_it_takes_the_memory_of_its_shape() -> None:
    body = b'{"instances": [{"features": {"keys": [0], "shape": [4000000000000], "values": [1]}}]}'
    with pytest.raises(InputError, match="have 4000000000000 features, the model was trained on 3"):
        read_request(body, MediaType(JSON), 3)


def test_a_key_that_is_given_twice_counts_with_the_sum_of_its_values() -> None:
    body = b'{"instances": [{"features": {"keys": [1, 1], "shape": [3], "values": [1, 1.5]}}]}'
    features = read_request(body, MediaType(JSON), 3)
    assert not isinstance(features, np.ndarray)
    assert (features.indices.tolist(), features.data.tolist()) == ([1], [2.5])


def test_values_that_are_not_finite_are_refused_in_csv_too() -> None:
    for value in (b"nan", b"inf", b"1e39"):
        with pytest.raises(InputError, match="NaN or infinity"):
            read_request(b"1," + value, MediaType(CSV), 2)


def test_blank_lines_and_carriage_returns_between_json_lines_are_passed_over() -> None:
    features = read_text(
        b'\xef\xbb\xbf{"features": [1]}\r\n\r\n  {"features": [2]} \n', MediaType(JSON_LINES)
    )
    assert features.tolist() == [[1], [2]]


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
