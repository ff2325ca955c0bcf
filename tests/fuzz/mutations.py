"""Mutations: of bytes anywhere, of protobuf messages inside frames that stay intact, and of JSON values."""

from __future__ import annotations

import copy
import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fmrec.recordio import wire

TELLING = (0, 1, 2, 0x0A, 0x12, 0x1A, 0x22, 0x3A, 0x7F, 0x80, 0xFE, 0xFF)
"""Bytes that mean something: tags, small lengths, the ends of varints."""
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e308, float("inf"), float("nan"), 10**400, 1 << 63, "", "x", "\0", "9" * 5000),
    *([], [[]], {}, {"a": 1}, [[["x"]]]),
)
NUMBERS = (0, 1, 0x7F, 0x80, 0x3FFF, 1 << 29, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def mutated(data: bytes, others: Sequence[bytes], generator: np.random.Generator) -> bytes:
    """Return the data after one to six changes; pieces that are put in come from ``others`` too."""
    changed = bytearray(data)
    for _ in range(generator.integers(1, 7)):
        at = int(generator.integers(0, len(changed) + 1))
        size = int(generator.integers(1, 1 << int(generator.integers(1, 7))))
        kind = generator.integers(0, 9)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << int(generator.integers(0, 8))
        elif kind == 1 and at < len(changed):
            changed[at] = TELLING[generator.integers(0, len(TELLING))]
        elif kind == 2:
            del changed[at : at + size]
        elif kind == 3:
            changed[at:at] = generator.bytes(size)
        elif kind == 4:
            changed[at:at] = changed[at : at + size]
        elif kind == 5:
            other = others[int(generator.integers(0, len(others)))]
            start = int(generator.integers(0, len(other) + 1))
            changed[at : at + size] = other[start : start + size]
        elif kind == 6:
            changed[at : at + 1] = wire.varint(NUMBERS[generator.integers(0, len(NUMBERS))])
        elif kind == 7:
            number = NUMBERS[generator.integers(0, len(NUMBERS))]
            width = int(generator.choice([4, 8]))
            changed[at : at + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        else:
            del changed[at:]
    return bytes(changed)


def mutated_records(data: bytes, others: Sequence[bytes], generator: np.random.Generator) -> bytes:
    """Mutate some records' payloads, put records of other files among them, and frame them all anew."""
    records = list(payloads(data))
    strangers = [payload for other in others for payload in payloads(other)[:3]]
    for _ in range(generator.integers(1, 5)):
        at = int(generator.integers(0, len(records)))
        if generator.random() < 0.2:
            records[at] = strangers[generator.integers(0, len(strangers))]
        else:
            records[at] = mutated(records[at], strangers, generator)
    if generator.random() < 0.3:
        records *= int(generator.integers(2, 40))
    return b"".join(wire.frame(record) for record in records)


def mutated_json(data: bytes, others: Sequence[bytes], generator: np.random.Generator) -> bytes:
    """Change values of some lines: to any of `VALUES`, to parts of other lines, or to nothing."""
    lines = [json.loads(line) for line in data.splitlines()]
    strangers = [line for other in others for line in _first_lines(other)]
    for _ in range(generator.integers(1, 5)):
        at = int(generator.integers(0, len(lines)))
        holders = list(_holders(lines[at]))
        if generator.random() < 0.05 or not holders:
            lines[at] = copy.deepcopy(VALUES[generator.integers(0, len(VALUES))])
            continue
        holder = holders[generator.integers(0, len(holders))]
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        key = keys[int(generator.integers(0, len(keys)))]
        kind = generator.random()
        if kind < 0.2:
            del holder[key]
        elif kind < 0.4:
            picked = list(_holders(strangers[generator.integers(0, len(strangers))]))
            holder[key] = copy.deepcopy(picked[generator.integers(0, len(picked))]) if picked else None
        else:
            holder[key] = copy.deepcopy(VALUES[generator.integers(0, len(VALUES))])
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _holders(value: Any) -> Iterator[Any]:
    """Yield every object and list of a JSON value that holds something."""
    if isinstance(value, dict | list) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


@functools.cache
def _first_lines(data: bytes) -> list[Any]:
    """The first lines of a file's JSON, which is not for changing."""
    return [json.loads(line) for line in data.splitlines()[:3]]


@functools.cache
def payloads(data: bytes) -> tuple[bytes, ...]:
    """The payloads of a file of intact records."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(data[at + 8 : at + 8 + size])
        at += 8 + (size + 3) // 4 * 4
    return tuple(found)


def cases(
    seeds: Sequence[bytes],
    seconds: float,
    mutators: Sequence[Callable[[bytes, Sequence[bytes], np.random.Generator], bytes]],
) -> Iterator[bytes]:
    """Yield mutated seeds for so many seconds of the thread's processor time, whatever else the machine does:
    the same ones in every run as far as time goes.
    """
    generator = np.random.default_rng(0)
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        for mutate in mutators:
            yield mutate(seeds[int(generator.integers(0, len(seeds)))], seeds, generator)
