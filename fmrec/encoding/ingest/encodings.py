"""Bytes of files to text: which encodings keep lines apart, and how lines are decoded."""

from __future__ import annotations

import codecs

import numpy as np
import pyarrow as pa

from fmrec.encoding.ingest.delimited import buffers, counted

UTF8 = "utf-8"
UNDECODED = "\uffff"
"""Stands for bytes that the encoding doesn't know: no text has it, since Unicode rules it out."""
MARK_UNDECODED = "fmrec-mark-undecoded"
_SHIFTING = ("iso2022", "utf-7", "hz")
"""Codecs whose letters mean something else after a shift."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return UNDECODED, error.end


codecs.register_error(MARK_UNDECODED, _mark)


def undecoded_reason(encoding: str) -> str:
    """Return what is wrong with a line that is not text in this encoding."""
    return "invalid UTF-8" if encoding == UTF8 else f"invalid {encoding}"


def keeps_ascii(encoding: str) -> bool:
    """Say whether ASCII, line breaks above all, is written as ASCII: then files can be cut into
    lines first.
    """
    plain = bytes(range(128))
    return not encoding.startswith(_SHIFTING) and plain.decode(encoding, "replace") == plain.decode("ascii")


def decode_lines(lines: pa.Array, encoding: str) -> pa.Array:
    """Decode lines of an encoding that keeps ASCII; ``UNDECODED`` marks what can't be, but for UTF-8, which
    lines are in already.
    """
    return lines if encoding == UTF8 else mark_undecoded(lines, encoding)


def mark_undecoded(lines: pa.Array, encoding: str) -> pa.Array:
    """Decode lines of an encoding that keeps ASCII, UTF-8 among them; ``UNDECODED`` marks what can't be."""
    offsets, data = buffers(lines)
    beyond = data >= 0x80
    if not beyond.any():
        return lines
    concerned = counted(beyond, offsets) > 0
    taken = lines.filter(pa.array(concerned))
    _, found = buffers(taken)
    lengths = np.diff(offsets)[concerned]
    # One decoding of all, with breaks between.
    spread = np.full(len(found) + len(lengths), ord("\n"), np.uint8)
    spread[np.arange(len(found)) + np.repeat(np.arange(len(lengths)), lengths)] = found
    texts = pa.array(spread.tobytes().decode(encoding, MARK_UNDECODED).split("\n")[:-1], pa.string())
    if len(texts) != len(lengths):  # an undecodable byte took a line break with it
        raw = found.tobytes()
        ends = np.cumsum(lengths).tolist()
        texts = pa.array(
            [
                raw[start:end].decode(encoding, MARK_UNDECODED)
                for start, end in zip([0, *ends[:-1]], ends, strict=True)
            ],
            pa.string(),
        )
    if concerned.all():
        return texts
    places = np.empty(len(lines), np.int64)
    places[~concerned] = np.arange(len(lines) - len(texts))
    places[concerned] = len(lines) - len(texts) + np.arange(len(texts))
    return pa.concat_arrays([lines.filter(pa.array(~concerned)), texts]).take(pa.array(places))
