"""Request bodies that hypothesis makes up: right values, or the project's own errors, and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from algorithms.container.media_types import CSV, JSON, JSON_LINES, MediaType
from algorithms.container.payload import read_request, read_text
from fmrec.errors import FormatError, InputError

WIDTH = 3
LARGEST = float(np.finfo(np.float32).max)

numbers = st.integers(-3, 3) | st.floats(width=32, allow_nan=False, allow_infinity=False)
scalars = (
    st.none()
    | st.booleans()
    | numbers
    | st.sampled_from([10**30, -(10**400), 1e39, math.nan, math.inf, "1", "", "\ud800", 2**63, 1.5])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
entries = st.lists(numbers, min_size=WIDTH, max_size=WIDTH) | st.lists(anything, max_size=4) | anything
sparse = st.fixed_dictionaries(
    {"values": entries},
    optional={
        "keys": st.lists(st.integers(-1, WIDTH) | anything, max_size=4) | anything,
        "shape": st.just([WIDTH]) | st.just(WIDTH) | st.lists(scalars, max_size=2) | anything,
    },
)
features = st.fixed_dictionaries({"features": entries | sparse})
instances = features | st.fixed_dictionaries({"data": features | anything}) | anything
lists = st.lists(instances, max_size=4)


def expected(instance: Any) -> list[float] | None:
    """The dense row that an instance means, by the definition of its forms; None if it means none."""
    if not isinstance(instance, dict):
        return None
    data = instance.get("data")
    found = data.get("features") if isinstance(data, dict) else instance.get("features")
    if isinstance(found, list):
        found = {"values": found}
    if not isinstance(found, dict) or not isinstance(found.get("values"), list):
        return None
    values, keys, shape = found["values"], found.get("keys"), found.get("shape")
    if not all(type(value) in (int, float) and abs(value) <= LARGEST for value in values):
        return None
    if keys is None:
        return [float(value) for value in values]
    width = shape[0] if isinstance(shape, list) and len(shape) == 1 else shape
    if type(width) is not int or not isinstance(keys, list) or len(keys) != len(values):
        return None
    if not all(type(key) is int and 0 <= key < width for key in keys) or width > 2**20:
        return None
    row = [0.0] * width
    for key, value in zip(keys, values, strict=True):
        row[key] += value
    return row


def is_json(value: Any) -> bool:
    """Whether the value has no NaN and no infinity, also where nothing reads it: RFC 8259 has neither."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def check(body: bytes, content_type: str, given_instances: list[Any]) -> None:
    rows = [expected(instance) for instance in given_instances]
    usable = rows and all(row is not None and len(row) == WIDTH for row in rows) and is_json(given_instances)
    if usable and all(abs(np.float32(value)) <= LARGEST for row in rows if row for value in row):
        found = read_request(body, MediaType(content_type), WIDTH)
        dense = found if isinstance(found, np.ndarray) else found.toarray()
        np.testing.assert_allclose(dense, np.array(rows, np.float64), rtol=1e-6)
    elif not usable:
        with pytest.raises(InputError):
            read_request(body, MediaType(content_type), WIDTH)


@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(lists)
@example([{"features": [[0, 0, 1]]}])
@example([{"features": {"keys": [0.5], "shape": [3], "values": [1]}}])
@example([{"features": {"keys": [0, 1], "shape": [3], "values": [1]}}])
@example([{"features": ["0", "1", "2"]}])
@example([{"features": {"values": [0, 0, 0], "shape": [math.nan]}}])
def test_json_means_its_numbers_or_is_refused(given_instances: list[Any]) -> None:
    body = json.dumps({"instances": given_instances}).encode()
    check(body, JSON, given_instances)


@settings(deadline=None, max_examples=60)
@given(lists)
@example([{"features": {"values": [0, 0, 0], "shape": [math.inf]}}])
def test_json_lines_mean_their_numbers_or_are_refused(given_instances: list[Any]) -> None:
    check("\n".join(map(json.dumps, given_instances)).encode(), JSON_LINES, given_instances)


GOOD_LINES = b'{"features": [1, 2, 3]}\n{"features": {"keys": [0], "shape": [3], "values": [1.5]}}\n'
GOOD = {
    JSON: b'{"instances": [{"features": [1, 2, 3]}, {"data": {"features": {"values": [1, 2, -3e2]}}}]}',
    JSON_LINES: GOOD_LINES,
    CSV: b"1,2,3\n-4,5e1,6.5\n",
}


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_damaged_bodies_are_read_as_finite_numbers_or_refused(content_type: str, data: st.DataObject) -> None:
    body = bytearray(GOOD[content_type])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"[", b"]", b"\n", b"{", b"}", b"e9", b"NaN"])
        )
        body[at : at + data.draw(st.integers(0, 3))] = piece
    try:
        found = read_request(bytes(body), MediaType(content_type), WIDTH)
    except InputError:
        return
    assert found.shape[1] == WIDTH
    assert np.isfinite(found if isinstance(found, np.ndarray) else found.data).all()


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([JSON, JSON_LINES, CSV]), st.binary(max_size=60))
def test_bytes_that_are_no_format_are_refused(content_type: str, body: bytes) -> None:
    try:
        read_text(body, MediaType(content_type))
    except InputError:
        return
    assert content_type == CSV  # few random bytes are a number


def test_a_json_line_is_judged_by_itself() -> None:
    """Lines that are JSON only together, or two on one line, are refused wherever they are cut."""
    whole = b'{"features": [1, 2, 3]}'
    for cut in range(1, len(whole)):
        with pytest.raises(FormatError, match=r"^line 1 of the body"):
            read_text(whole[:cut] + b"\n" + whole[cut:], MediaType(JSON_LINES))
