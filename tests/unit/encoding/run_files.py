"""What an encoding has stored."""

from pathlib import Path


def stored(folder: Path) -> dict[str, bytes]:
    """Every part's bytes by its path below the run's folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in ("train", "test", "seen", "heldout")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    }
