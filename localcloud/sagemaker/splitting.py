"""How batch transform cuts an object into requests.

A record is a line, a recordIO record, or the whole object; ``MultiRecord`` packs as many into a request as
fit into the payload limit. Sources: API texts of ``SplitType`` and ``BatchStrategy``, and
MXNet's recordIO framing (dmlc-core, recordio.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import IO

_MAGIC = 0xCED7230A
_HEADER = struct.Struct("<II")


class SplitError(Exception):
    """An object can't be cut as asked; the message says where and why."""


def split_records(body: IO[bytes], split_type: str, *, framed: bool) -> Iterator[bytes]:
    """The records of a stream.

    Parameters
    ----------
    split_type
        ``Line``, ``RecordIO`` or ``None``.
    framed
        Keep header and padding of recordIO records, as ``MultiRecord`` does.

    Raises
    ------
    SplitError
        The stream is not what the split type says.
    """
    if split_type == "Line":
        yield from (line for line in body if line.strip(b"\r\n"))
    elif split_type == "RecordIO":
        yield from _record_io(body, framed)
    else:
        yield body.read()


def batches(records: Iterable[bytes], limit: int, *, many: bool) -> Iterator[bytes]:
    """Requests of at most ``limit`` bytes: as many records as fit, or one each.

    Raises
    ------
    SplitError
        One record is larger than the limit.
    """
    held: list[bytes] = []
    size = 0
    for record in records:
        if len(record) > limit:
            raise SplitError(f"a record of {len(record)} bytes is larger than MaxPayloadInMB ({limit} bytes)")
        if held and (not many or size + len(record) > limit):
            yield b"".join(held)
            held, size = [], 0
        held.append(record)
        size += len(record)
    if held:
        yield b"".join(held)


def _record_io(body: IO[bytes], framed: bool) -> Iterator[bytes]:
    offset = 0
    while header := body.read(_HEADER.size):
        if len(header) < _HEADER.size:
            raise SplitError(f"byte {offset}: the recordIO header is cut off")
        magic, length = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise SplitError(f"byte {offset}: found {magic:#010x} where a recordIO record must begin")
        padded = (length + 3) // 4 * 4
        payload = body.read(padded)
        if len(payload) < padded:
            raise SplitError(f"byte {offset}: the recordIO record of {length} bytes is cut off")
        yield header + payload if framed else payload[:length]
        offset += _HEADER.size + padded
