"""Archives that hold more than they say or than there is room for, another algorithm's, or are unpacked."""

import io
import json
import tarfile
import tracemalloc
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from fmrec.errors import FormatError
from fmrec.model import artifact
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.storage import object_store

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
    sentence, held = refused(bytes(archive_of(b" " * (64 * MIB))))

    assert "meta.json unpacks to 67108864 bytes" in sentence
    assert held < 4 * MIB


def test_a_member_that_states_a_small_size_is_not_unpacked_beyond_it() -> None:
    content = archive_of(b" " * (64 * MIB))
    stated = (64 * MIB).to_bytes(4, "little")
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


def tar(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return file.getvalue()


NDARRAYS = (0x112).to_bytes(8, "little") + bytes(40)
OTHERS = [
    ({"xgboost-model": b"binf"}, "it holds xgboost-model: this seems to be another algorithm's artifact, an XGBoost model; expected a Factorization Machines model's model_algo-1"),
    ({"model_algo-1": b"IxFI" + bytes(90), "model_algo-1.labels": bytes(8), "model_algo-1.json": b"{}"}, "another algorithm's artifact, a k-NN model; expected a Factorization Machines model's model_algo-1, a ZIP of meta.json, params, symbol.json"),
    ({"model_algo-1": zipped("mx-mod-symbol.json", "mx-mod-0000.params", "additional-params.json")}, "another algorithm's artifact, a linear learner model"),
    ({"model_algo-1": NDARRAYS}, "another algorithm's artifact, a K-means or PCA model"),
    ({"model_algo-1": b"\x0a\x10random forest"}, "it holds model_algo-1: this seems to be another algorithm's artifact; expected"),
    ({"image-classification-symbol.json": b"{}", "image-classification-0010.params": b"", "model-shapes.json": b"[]"}, "a model of MXNet or of image classification"),
    ({"export/Servo/1/saved_model.pb": b"x"}, "another algorithm's artifact, a TensorFlow model"),
    ({"model.pth": b"PK", "code/inference.py": b""}, "another algorithm's artifact, a PyTorch model"),
    ({"model.joblib": b"x"}, "a model of scikit-learn or another Python library"),
    ({"config.json": b"{}", "model.safetensors": b"x"}, "a Hugging Face model"),
    ({"vectors.bin": b"x", "vectors.txt": b"x"}, "a BlazingText model"),
    ({"notes.txt": b"x"}, "it holds notes.txt; expected a Factorization Machines model's model_algo-1"),
    ({}, "it holds nothing; expected a Factorization Machines model's model_algo-1"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "sentence"), OTHERS, ids=[", ".join(entry[0]) for entry in OTHERS])
@pytest.mark.parametrize("unpacked", [False, True])
def test_another_algorithm_s_artifact_is_named(
    members: dict[str, bytes], sentence: str, unpacked: bool, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    if unpacked:
        path.mkdir()
        for name, content in members.items():
            (path / PurePosixPath(name).name).write_bytes(content)
    else:
        path = tmp_path / "model.tar.gz"
        path.write_bytes(tar(**members))
    with pytest.raises(FormatError) as raised:
        artifact.read(path)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith(str(path))


MODEL = FactorizationMachine(
    0.25, np.arange(6, dtype=np.float32), np.eye(6, 3, dtype=np.float32), "binary_classifier"
)


@pytest.mark.parametrize("way", ["archive", "tar unpacked", "ZIP unpacked", "folder with the archive"])
def test_a_model_is_read_however_far_it_was_unpacked(way: str, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    MODEL.save(archive)
    source = {"archive": archive, "folder with the archive": tmp_path}.get(way, tmp_path / "unpacked")
    if "unpacked" in way:
        with tarfile.open(archive) as packed:
            if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
                packed.extraction_filter = tarfile.data_filter
            packed.extractall(source)  # noqa: S202 - written by this test
    if way == "ZIP unpacked":
        with zipfile.ZipFile(source / "model_algo-1") as packed_again:
            packed_again.extractall(source)  # noqa: S202 - written by this test
        (source / "model_algo-1").unlink()
    found = FactorizationMachine.load(source)
    assert found.linear.tolist() == MODEL.linear.tolist()
    assert found.factors.tolist() == MODEL.factors.tolist()
    assert (found.bias, found.predictor_type) == (0.25, "binary_classifier")


def test_a_model_below_a_prefix_of_s3_is_read(bucket: str, tmp_path: Path) -> None:
    """SageMaker uploads a model uncompressed where the training job asks for it."""
    MODEL.save_model_algo(tmp_path)
    prefix = f"s3://{bucket}/models/job/output/model/"
    object_store.write_bytes(f"{prefix}model_algo-1", (tmp_path / "model_algo-1").read_bytes())
    assert FactorizationMachine.load(prefix).linear.tolist() == MODEL.linear.tolist()
    with pytest.raises(FormatError, match="it holds model/model_algo-1; expected"):
        FactorizationMachine.load(f"s3://{bucket}/models/job/output/")
