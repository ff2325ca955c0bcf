"""What is kept for all local clouds of a checkout."""

import os
from pathlib import Path

from localcloud.kept import kept


def test_what_has_a_name_is_made_once_and_goes_when_none_has_asked_for_it_in_a_week(tmp_path: Path) -> None:
    made = []

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "content").touch()
        made.append(folder)

    folder = tmp_path / "kept"
    for name in ("used", "unused", "used"):
        assert (kept(folder, name, make) / "content").exists()
    assert len(made) == 2
    for name in ("used", "unused"):
        os.utime(folder / name, (0, 0))
    kept(folder, "used", make)
    kept(folder, "new", make)
    assert {found.name for found in folder.iterdir()} == {"used", "new"}


def test_who_makes_the_same_at_the_same_time_has_what_was_there_first(tmp_path: Path) -> None:
    def make_late(folder: Path) -> None:
        folder.mkdir()
        (folder / "late").touch()

    def make_first(folder: Path) -> None:
        folder.mkdir()
        (folder / "first").touch()

    def make(folder: Path) -> None:
        kept(tmp_path, "same", make_first)
        make_late(folder)

    found = kept(tmp_path, "same", make)
    assert [file.name for file in found.iterdir()] == ["first"]
    assert list(tmp_path.iterdir()) == [found]
