"""Packed files: read by their content, or refused with a sentence that names the file."""

import bz2
import gzip
import re
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fmrec.errors import InputError
from tests.unit.encoding.ingest.test_text_files import PLAIN, TWO, TWO_ROWS, Take


def test_packed_files_are_read_by_content_or_refused(take: Take, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv.bz2").write_bytes(bz2.compress(TWO.encode()))
    (raw / "b").write_bytes(gzip.compress(TWO.encode()))
    (raw / "c.csv.gz").write_bytes(gzip.compress(TWO.encode()))
    with zipfile.ZipFile(raw / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ratings.csv", TWO)
        archive.writestr("__MACOSX/._ratings.csv", "x")
    assert take(raw, interactions=PLAIN).rows == TWO_ROWS * 4
    with zipfile.ZipFile(raw / "d.zip", "a") as archive:
        archive.writestr("README.txt", "see")
    sentence = (
        r"d\.zip is a ZIP archive of 2 files \(ratings\.csv, README\.txt\): unpack it, and name one of them"
    )
    with pytest.raises(InputError, match=sentence):
        take(raw, interactions=PLAIN)
    with zipfile.ZipFile(raw / "d.zip", "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
    with pytest.raises(InputError, match=r"d\.zip is an office document: save its sheet as CSV"):
        take(raw, interactions=PLAIN)
    content = gzip.compress(TWO.encode() * 1000)
    (raw / "d.zip").unlink()
    (raw / "b").write_bytes(content[:50])
    with pytest.raises(InputError, match=r"b can't be read: it is cut off"):
        take(raw, interactions=PLAIN)


@pytest.mark.parametrize("name", ["cut.csv.gz", "cut", "cut.csv.bz2", "cut.csv.zst"])
def test_a_large_archive_that_is_cut_off_is_named_however_it_is_read(
    name: str, take: Take, tmp_path: Path
) -> None:
    """Its beginning is whole, so that only whoever unpacks all of it finds out."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text(TWO)
    numbers = np.random.default_rng(7).integers(1, 1_000_000, (100_000, 2))
    rows = "".join(f"{user},{item},5,1\n" for user, item in numbers)
    content = (TWO.partition("\n")[0] + "\n" + rows).encode()
    pack = {".bz2": bz2.compress, ".zst": lambda data: pa.compress(data, "zstd", asbytes=True)}
    packed = pack.get(Path(name).suffix, gzip.compress)(content)
    (raw / name).write_bytes(packed)
    assert len(take(raw, interactions=PLAIN).rows) == len(TWO_ROWS) + len(numbers)
    (raw / name).write_bytes(packed[: len(packed) * 2 // 3])
    with pytest.raises(InputError, match=rf"{re.escape(name)} can't be read: it is cut off"):
        take(raw, interactions=PLAIN)
