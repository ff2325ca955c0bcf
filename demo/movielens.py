"""MovieLens 100k, fetched at run time and written as three plain CSV files.

The data set (F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM
TiiS 5(4), 2015) may not be redistributed, so it is fetched from GroupLens, or, where GroupLens
can't be reached, taken out of the ``recbole`` wheel on PyPI, which carries the same ratings in the
same order. Either way the result is the same bytes, which are checked.

    ratings.csv   user_id,item_id,rating,timestamp     100,000 rows in the original order
    items.csv     item_id,title,year,genres            genres joined by |
    users.csv     user_id,age,gender,occupation,zip_code
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fmrec.errors import InputError

GROUPLENS = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
WHEEL = "recbole==1.2.1"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
RATINGS_SHA256 = "010fac14271cf92527353173e77ddb19b9168a476d99c55c2f4bd55d93d4c205"
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller",
    "War", "Western",
)  # fmt: skip

Rows = Iterable[Iterable[str]]


@dataclass(frozen=True)
class MovieLens:
    """Where the three CSV files lie."""

    folder: Path

    @property
    def ratings(self) -> Path:
        return self.folder / "ratings.csv"

    @property
    def items(self) -> Path:
        return self.folder / "items.csv"

    @property
    def users(self) -> Path:
        return self.folder / "users.csv"

    def titles(self) -> dict[str, str]:
        """Item id → title with year."""
        with self.items.open(newline="", encoding="utf-8") as file:
            return {
                row["item_id"]: f"{row['title']} ({row['year']})" if row["year"] else row["title"]
                for row in csv.DictReader(file)
            }

    def genres(self) -> dict[str, list[str]]:
        """Item id → genres."""
        with self.items.open(newline="", encoding="utf-8") as file:
            return {row["item_id"]: row["genres"].split("|") for row in csv.DictReader(file)}


def fetch(folder: Path, say: Callable[[str], None] = lambda _sentence: None) -> MovieLens:
    """Return the data set under ``folder``, fetching it if it isn't there yet.

    Raises
    ------
    InputError
        Neither source could be reached, or what came is not MovieLens 100k.
    """
    data = MovieLens(folder)
    if data.ratings.exists() and _sha256(data.ratings) == RATINGS_SHA256:
        return data
    folder.mkdir(parents=True, exist_ok=True)
    try:
        say("fetching MovieLens 100k from GroupLens")
        _write_from_grouplens(data)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        say(f"GroupLens can't be reached ({_short(error)}): taking the copy inside {WHEEL} from PyPI")
        _write_from_wheel(data)
    found = _sha256(data.ratings)
    if found != RATINGS_SHA256:
        raise InputError(
            f"{data.ratings} is not MovieLens 100k: SHA-256 {found}, expected {RATINGS_SHA256}. "
            "Delete the folder and try again."
        )
    return data


def _write_from_grouplens(data: MovieLens) -> None:
    with urllib.request.urlopen(GROUPLENS, timeout=10) as answer:
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))

    def rows(name: str, delimiter: str) -> Iterator[list[str]]:
        for line in archive.read(f"ml-100k/{name}").decode("latin-1").splitlines():
            yield line.split(delimiter)

    _write(data.ratings, ("user_id", "item_id", "rating", "timestamp"), rows("u.data", "\t"))
    _write(
        data.items,
        ("item_id", "title", "year", "genres"),
        (_item(row[0], row[1], "", _flagged_genres(row[5:])) for row in rows("u.item", "|")),
    )
    _write(data.users, ("user_id", "age", "gender", "occupation", "zip_code"), rows("u.user", "|"))


def _write_from_wheel(data: MovieLens) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(
                "MovieLens 100k can be had neither from GroupLens nor from PyPI: "
                f"{done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'pip failed'}. "
                "Check the network, or put ratings.csv, items.csv and users.csv into "
                f"{data.folder} yourself."
            )
        archive = zipfile.ZipFile(next(Path(folder).glob("*.whl")))

    def rows(kind: str) -> Iterator[list[str]]:
        text = archive.read(f"{WHEEL_FOLDER}/ml-100k.{kind}").decode("utf-8")
        for line in text.splitlines()[1:]:
            yield line.split("\t")

    _write(
        data.ratings,
        ("user_id", "item_id", "rating", "timestamp"),
        ((user, item, rating, time) for user, item, rating, time in rows("inter")),
    )
    _write(
        data.items,
        ("item_id", "title", "year", "genres"),
        (_item(row[0], row[1], row[2], row[3].split(" ")) for row in rows("item")),
    )
    _write(data.users, ("user_id", "age", "gender", "occupation", "zip_code"), rows("user"))


def _item(item_id: str, title: str, year: str, genres: Iterable[str]) -> tuple[str, str, str, str]:
    """Bring both sources to one form: "Toy Story (1995)" and ("Toy Story", "1995") become the latter."""
    match = re.fullmatch(r"(.*?)\s*\((\d{4})\)\s*", title)
    if match:
        title, year = match.groups()
    return item_id, title, year if year.isdigit() else "", "|".join(genres)


def _flagged_genres(flags: list[str]) -> list[str]:
    return [genre for genre, flag in zip(GENRES, flags, strict=True) if flag == "1"]


def _write(path: Path, header: Iterable[str], rows: Rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(reason)[:80]
