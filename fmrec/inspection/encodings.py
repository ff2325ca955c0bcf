"""Which encoding a text file is written in, judged by its bytes.

UTF-8 proves itself: other encodings hardly ever form valid UTF-8 outside ASCII. UTF-16 shows by its byte
order mark or by zero bytes at every second place. What remains is taken for Western European: the bytes
0x80 to 0x9F are letters and signs in cp1252 and control characters in latin-1.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass

UTF8, LATIN1, CP1252, UTF16, UTF16LE, UTF16BE, UTF32 = (
    "utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32",
)  # fmt: skip
"""Names of codecs, as the data set document's ``encoding`` takes them."""
CP1252_UNDEFINED = frozenset(b"\x81\x8d\x8f\x90\x9d")
MOSTLY = 10
"""UTF-8 with damaged lines: so many lines with valid characters outside ASCII for each invalid one."""


@dataclass(frozen=True)
class Encoding:
    name: str
    reason: str
    certain: bool = True


def detect_encoding(pieces: Iterable[bytes], whole: bool = True) -> Encoding:
    """Judge a file by parts of it; the first begins with the file's first byte.

    Unless it is the ``whole`` file, parts may begin and end within a character, but, for UTF-16, only at even
    places in the file.
    """
    parts = [piece for piece in pieces if piece]
    if not parts:
        return Encoding(UTF8, "the file is empty")
    marked = _marked(parts[0]) or _utf16_without_mark(parts[0])
    if marked:
        return marked
    bad, good = 0, 0
    others: set[int] = set()
    for part in parts:
        for line in (part if whole else _trimmed(part)).split(b"\n"):
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                good += 1
            except UnicodeDecodeError:
                bad += 1
                others |= set(line) - set(range(128))
    if not bad:
        outside = "characters outside ASCII are valid UTF-8" if good else "only ASCII was found"
        return Encoding(UTF8, outside)
    if good >= MOSTLY * bad:
        return Encoding(UTF8, f"{good} lines have characters in UTF-8, and {bad} invalid bytes", False)
    return _western(others)


def decode(data: bytes, encoding: str, first: bytes = b"") -> str:
    """Decode part of a file; what isn't valid becomes U+FFFD. A byte order mark is left out.

    ``first``: the file's first bytes, whose mark says how the rest of a UTF-16 or UTF-32 file is written.
    """
    name = encoding
    if encoding in (UTF16, UTF32):
        marks = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
                 (codecs.BOM_UTF16_LE, UTF16LE), (codecs.BOM_UTF16_BE, UTF16BE))  # fmt: skip
        name = next((codec for mark, codec in marks if (first or data).startswith(mark)), encoding)
    return data.decode(name, errors="replace").removeprefix("\ufeff")


def _marked(first: bytes) -> Encoding | None:
    marks = ((codecs.BOM_UTF8, UTF8), (codecs.BOM_UTF32_LE, UTF32), (codecs.BOM_UTF32_BE, UTF32),
             (codecs.BOM_UTF16_LE, UTF16), (codecs.BOM_UTF16_BE, UTF16))  # fmt: skip
    name = next((name for mark, name in marks if first.startswith(mark)), None)
    return Encoding(name, f"it begins with the byte order mark of {name.upper()}") if name else None


def _utf16_without_mark(first: bytes) -> Encoding | None:
    sample = first[:4096]
    half = len(sample) // 2
    if half < 2:
        return None
    high, low = sample[1::2].count(0) / half, sample[0::2].count(0) / half
    if high > 0.4 and low < 0.1:
        return Encoding(UTF16LE, "every second byte is zero, as in UTF-16 with the low byte first")
    if low > 0.4 and high < 0.1:
        return Encoding(UTF16BE, "every second byte is zero, as in UTF-16 with the high byte first")
    return None


def _trimmed(part: bytes) -> bytes:
    """Cut off what remains of characters at the edges of a part."""
    start = 0
    while start < min(3, len(part)) and 0x80 <= part[start] < 0xC0:
        start += 1
    for back in range(1, min(4, len(part) - start) + 1):
        lead = part[-back]
        if lead >= 0xC0:
            needed = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return part[start:-back] if needed > back else part[start:]
        if lead < 0x80:
            break
    return part[start:]


def _western(bytes_found: set[int]) -> Encoding:
    controls = {byte for byte in bytes_found if 0x80 <= byte < 0xA0}
    example = ", ".join(f"0x{byte:02x}" for byte in sorted(bytes_found)[:4])
    if not controls:
        return Encoding(
            LATIN1,
            f"bytes such as {example} are not UTF-8; all of them are letters or signs in latin-1",
            False,
        )
    if controls & CP1252_UNDEFINED:
        return Encoding(
            LATIN1,
            f"bytes such as {example} are neither UTF-8 nor all defined in cp1252: check how the names of items look",
            False,
        )
    shown = ", ".join(f"0x{byte:02x}" for byte in sorted(controls)[:4])
    return Encoding(CP1252, f"bytes such as {shown} are not UTF-8, and characters only in cp1252", False)
