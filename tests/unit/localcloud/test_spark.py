"""How Spark is started for Glue runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.glue import spark


def test_the_archive_is_used_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "spark.jsa"
    monkeypatch.setattr(spark, "archive_file", lambda: archive)
    assert "SharedArchiveFile" not in spark.java_options(tmp_path)
    archive.touch()
    assert f'"-XX:SharedArchiveFile={archive}" ' in spark.java_options(tmp_path)
    assert spark.prepare() == archive  # nothing is done twice


def test_the_archive_is_of_this_version_of_spark() -> None:
    assert spark.archive_file().name == "spark-4.1.1.jsa"


def test_settings_are_no_folder_on_the_class_path(tmp_path: Path) -> None:
    assert (
        spark.submit_arguments(tmp_path / "a b.conf")
        == f"--properties-file '{tmp_path}/a b.conf' pyspark-shell"
    )
