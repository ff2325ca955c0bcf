"""What a run trains on: there, whole, and of the right kind of label; otherwise a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from fmrec.artifacts import training_data
from fmrec.artifacts.manifest import Channel, Manifest, Rows
from fmrec.errors import InputError, SettingsError


@pytest.fixture
def encoded(tmp_path: Path) -> Path:
    """An encoding of two train parts and none to test on."""
    manifest = Manifest(
        run="demo-0",
        created="2026-11-21T10:00:00Z",
        dataset={"label": {"mode": "binary", "threshold": 4.0}},
        feature_dim=5,
        nnz_per_row=2.0,
        users=2,
        items=3,
        ranges={"user": (0, 2), "item": (2, 5)},
        rows=Rows(read=6, encoded=6, train=6, test=0),
        train=Channel("train/", 6, 2, 384, 0.5),
        test=Channel("test/", 0, 0, 0, None),
    )
    (tmp_path / "train").mkdir()
    for part in range(2):
        (tmp_path / "train" / f"part-{part:05}.pbr").write_bytes(b"rows")
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    return tmp_path


def test_a_whole_encoding_is_read(encoded: Path) -> None:
    assert training_data.read(f"{encoded}/manifest.json", "binary_classifier").run == "demo-0"


def test_an_encoding_without_manifest_is_named_with_what_to_do(encoded: Path) -> None:
    (encoded / "manifest.json").unlink()

    with pytest.raises(InputError, match=r"no finished encoding at .*manifest\.json .*without 'encoded'"):
        training_data.read(f"{encoded}/manifest.json", "binary_classifier")


def test_an_encoding_that_lost_a_part_is_not_trained_on(encoded: Path) -> None:
    (encoded / "train" / "part-00001.pbr").unlink()

    with pytest.raises(InputError, match="train/ has 1 parts: expected the 2 that"):
        training_data.read(f"{encoded}/manifest.json", "binary_classifier")


def test_labels_of_another_kind_than_the_predictors_are_refused(encoded: Path) -> None:
    with pytest.raises(SettingsError, match=r"label\.mode is 'binary'"):
        training_data.read(f"{encoded}/manifest.json", "regressor")


def test_an_encoding_without_training_rows_is_not_trained_on(encoded: Path) -> None:
    manifest = Manifest.from_json((encoded / "manifest.json").read_text())
    empty = replace(manifest, rows=Rows(6, 6, 0, 6), train=Channel("train/", 0, 0, 0, None))
    (encoded / "manifest.json").write_text(empty.to_json())

    with pytest.raises(InputError, match=r"manifest\.json counts no training rows: expected some"):
        training_data.read(f"{encoded}/manifest.json", "binary_classifier")
