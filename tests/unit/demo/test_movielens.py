"""The two sources must give the same bytes: the demo's figures depend on the original row order."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from demo import movielens

GROUPLENS_FILES = {
    "u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
    "u.item": "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    "2|Caf\xe9, The|01-Jan-1995||http://x|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
    "u.user": "1|24|M|technician|85711\n",
}
RECBOLE_FILES = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tToy Story\t1995\tAnimation Children's Comedy\n2\tCaf\xe9, The\tunkonwn\tunknown\n",
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\ttechnician\t85711\n",
}


def test_both_sources_are_written_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in GROUPLENS_FILES.items():
            file.writestr(f"ml-100k/{name}", text.encode("latin-1"))

    class Answer(io.BytesIO):
        pass

    monkeypatch.setattr("urllib.request.urlopen", lambda *_a, **_k: Answer(archive.getvalue()))

    def pip(command: list[str], **_: Any) -> Any:
        wheel = Path(command[command.index("--dest") + 1]) / "recbole-1.2.1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as file:
            for kind, text in RECBOLE_FILES.items():
                file.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{kind}", text.encode())
        return type("Done", (), {"returncode": 0})()

    monkeypatch.setattr("subprocess.run", pip)
    first, second = movielens.MovieLens(tmp_path / "a"), movielens.MovieLens(tmp_path / "b")
    for data, write in ((first, movielens._write_from_grouplens), (second, movielens._write_from_wheel)):
        data.folder.mkdir()
        write(data)
    for name in ("ratings", "items", "users"):
        assert getattr(first, name).read_bytes() == getattr(second, name).read_bytes(), name
    assert first.titles() == {"1": "Toy Story (1995)", "2": "Café, The"}
    assert first.genres()["1"] == ["Animation", "Children's", "Comedy"]


def test_the_real_data_set_is_complete_and_in_the_original_order(movielens_100k: Any) -> None:
    rows = movielens_100k.ratings.read_text().splitlines()
    assert len(rows) == 100_001
    assert rows[1] == "196,242,3,881250949"
    assert len(movielens_100k.titles()) == 1682
