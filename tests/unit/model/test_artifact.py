"""Archives that hold more than they say, or more than there is room for."""

import io
import json
import tracemalloc
import zipfile
from typing import Any

import pytest

from fmrec.errors import FormatError
from fmrec.model import artifact

MIB = 1 << 20


def archive_of(meta: bytes) -> bytearray:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", meta)
        archive.writestr("symbol.json", "{}")
        archive.writestr("params", b"x")
    return bytearray(content.getvalue())


def refused(content: bytes) -> tuple[str, int]:
    """The sentence, and how many bytes were held at most."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError) as raised:
            artifact.read(io.BytesIO(content))
        return str(raised.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_member_is_refused_by_the_size_that_it_states() -> None:
    sentence, held = refused(bytes(archive_of(b" " * (200 * MIB))))

    assert "meta.json unpacks to 209715200 bytes" in sentence
    assert held < 4 * MIB


def test_a_member_that_states_a_small_size_is_not_unpacked_beyond_it() -> None:
    content = archive_of(b" " * (200 * MIB))
    stated = (200 * MIB).to_bytes(4, "little")
    while (at := content.find(stated)) >= 0:
        content[at : at + 4] = (100).to_bytes(4, "little")

    sentence, held = refused(bytes(content))

    assert "the archive is damaged" in sentence
    assert held < 40 * MIB


def test_parameters_that_the_disk_has_no_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive_of(json.dumps({"training_parameters": {"predictor_type": "regressor"}}).encode())
    usage: Any = type("Usage", (), {"free": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)

    assert "params unpacks to 1 bytes, and 0 are free in" in refused(bytes(content))[0]


def test_a_document_that_is_nested_too_deeply_is_refused() -> None:
    assert "meta.json is nested too deeply" in refused(bytes(archive_of(b"[" * 200_000)))[0]
