"""MovieLens in its sizes: tabs and vertical bars, double colons in latin-1, and CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.unit.inspection.layouts.layout import Layout, generator, lines, ratings

GENRES = ("Action", "Comedy", "Drama", "Children's", "Sci-Fi")
TITLES = ("Amélie", "Léon", "Toy Story", "Señor Ratón", "Heat, The", "Crème brûlée", "Das Boot", "Go: Again")
FLAGS = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
JOBS = ("writer", "student", "educator", "other")


def _genres(at: int) -> list[str]:
    return [GENRES[at % 5], GENRES[(at + 2) % 5]][: 1 + at % 2]


def _title(at: int) -> str:
    return f"{TITLES[at % 8]} {at} ({1960 + at % 45})"


def write_100k(folder: Path) -> None:
    frame = ratings("ml-100k").sample(frac=1, random_state=3)
    rows = [f"{row.user + 1}\t{row.item + 1}\t{row.value}\t{row.time}" for row in frame.itertuples()]
    lines(folder, "u.data", rows)
    lines(folder, "ua.base", rows[:300])
    lines(folder, "ua.test", rows[300:])
    random = generator("u.user")
    people = [
        f"{at + 1}|{random.integers(15, 70)}|{'MF'[at % 2]}|{JOBS[at % 4]}|{'T8H1N' if at == 7 else 10000 + at * 7}"
        for at in range(30)
    ]
    lines(folder, "u.user", people)
    flags = ["|".join(str(int(genre == at % 19)) for genre in range(19)) for at in range(40)]
    films = [
        f"{at + 1}|{_title(at)}|{'' if at == 5 else f'{1 + at % 28:02d}-{MONTHS[at % 12]}-{1990 + at % 8}'}||"
        f"http://us.imdb.com/M/title-exact?{at}|{flags[at]}"
        for at in range(40)
    ]
    lines(folder, "u.item", films, "latin-1")
    lines(folder, "u.genre", [f"{genre}|{at}" for at, genre in enumerate(GENRES)])
    lines(folder, "u.info", ["30 users", "40 items", "400 ratings"])
    lines(folder, "README", ["SUMMARY & USAGE LICENSE", "", "MovieLens data sets, collected by the project"])


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NAMES_100K = ["user", "item", "value", "time"]


def read_100k(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "u.data", sep="\t", names=NAMES_100K, dtype={"user": str, "item": str})


def users_100k(folder: Path) -> pd.DataFrame:
    return pd.read_csv(
        folder / "u.user", sep="|", names=["id", "age", "gender", "occupation", "zip_code"], dtype=str
    ).set_index("id")


def items_100k(folder: Path) -> pd.DataFrame:
    names = ["id", "title", "release_date", "video_release_date", "imdb_url", *FLAGS]
    return pd.read_csv(
        folder / "u.item", sep="|", names=names, dtype=str, encoding="latin-1", quoting=3
    ).set_index("id")


def write_1m(folder: Path) -> None:
    frame = ratings("ml-1m")
    rows = [f"{row.user + 1}::{row.item + 1}::{row.value}::{row.time}" for row in frame.itertuples()]
    lines(folder, "ratings.dat", rows)
    ages = (1, 18, 25, 35, 45)
    lines(
        folder,
        "users.dat",
        [f"{at + 1}::{'FM'[at % 2]}::{ages[at % 5]}::{at % 9}::{48067 + at}" for at in range(30)],
    )
    films = [f"{at + 1}::{_title(at)}::{'|'.join(_genres(at))}" for at in range(40)]
    lines(folder, "movies.dat", films, "latin-1")


def _double_colons(path: Path, names: list[str], encoding: str = "utf-8") -> pd.DataFrame:
    rows = [line.split("::") for line in path.read_bytes().decode(encoding).split("\n") if line]
    return pd.DataFrame(rows, columns=names)


def read_dat(folder: Path) -> pd.DataFrame:
    frame = _double_colons(folder / "ratings.dat", NAMES_100K)
    return frame.assign(value=frame.value.astype(float), time=frame.time.astype(float))


def users_1m(folder: Path) -> pd.DataFrame:
    return _double_colons(folder / "users.dat", ["id", "gender", "age", "occupation", "zip_code"]).set_index(
        "id"
    )


def items_1m(folder: Path) -> pd.DataFrame:
    return _double_colons(folder / "movies.dat", ["id", "title", "genres"], "latin-1").set_index("id")


def write_10m(folder: Path) -> None:
    frame = ratings("ml-10m", values=(0.5, 1, 2.5, 3, 3.5, 4, 4.5, 5))
    rows = [f"{row.user + 1}::{row.item + 1}::{row.value:g}::{row.time}" for row in frame.itertuples()]
    lines(folder, "ratings.dat", rows)
    lines(folder, "movies.dat", [f"{at + 1}::{_title(at)}::{'|'.join(_genres(at))}" for at in range(40)])
    tags = [
        f"{row.user + 1}::{row.item + 1}::{'excellent!' if row.item % 2 else 'so-so'}::{row.time}"
        for row in frame[:60].itertuples()
    ]
    lines(folder, "tags.dat", tags)


def items_10m(folder: Path) -> pd.DataFrame:
    return _double_colons(folder / "movies.dat", ["id", "title", "genres"]).set_index("id")


def write_25m(folder: Path) -> None:
    frame = ratings("ml-25m", values=(0.5, 1, 2.5, 3, 3.5, 4, 4.5, 5))
    rows = [f"{row.user + 1},{row.item + 1},{row.value},{row.time}" for row in frame.itertuples()]
    lines(folder, "ratings.csv", ["userId,movieId,rating,timestamp", *rows], end="\r\n")
    films = [
        f'{at + 1},"{_title(at)}",{"|".join(_genres(at)) if at % 9 else "(no genres listed)"}'
        for at in range(40)
    ]
    lines(folder, "movies.csv", ["movieId,title,genres", *films], end="\r\n")
    links = [f"{at + 1},{114709 + at:07d},{862 + at}" for at in range(40)]
    lines(folder, "links.csv", ["movieId,imdbId,tmdbId", *links], end="\r\n")
    tags = [
        f'{row.user + 1},{row.item + 1},"say ""hi"", {row.item % 3}",{row.time}'
        for row in frame[:60].itertuples()
    ]
    lines(folder, "tags.csv", ["userId,movieId,tag,timestamp", *tags], end="\r\n")
    scores = [
        f"{film + 1},{tag + 1},0.{(film * 7 + tag * 13) % 97:02d}5" for film in range(40) for tag in range(5)
    ]
    lines(folder, "genome-scores.csv", ["movieId,tagId,relevance", *scores], end="\r\n")
    lines(folder, "genome-tags.csv", ["tagId,tag", *(f"{tag + 1},tag {tag}" for tag in range(5))], end="\r\n")
    lines(folder, "README.txt", ["Summary", "=======", "", "This dataset describes ratings"])


def read_25m(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "ratings.csv", dtype={"userId": str, "movieId": str})
    return frame.set_axis(NAMES_100K, axis=1)


def items_25m(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "movies.csv", dtype=str).set_index("movieId")


COLUMNS = {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"}
CSV_COLUMNS = {"user": "userId", "item": "movieId", "value": "rating", "timestamp": "timestamp"}
LABEL = {"mode": "implicit", "threshold": 4}
FIELDS = ["user_id", "item_id", "rating", "timestamp"]
SPLIT = {"method": "leave-last-n", "n": 1}

LAYOUTS = (
    Layout(
        "MovieLens 100k",
        write_100k,
        {
            "interactions": {"path": "u.data", "format": "tsv", "header": False, "fields": FIELDS, "columns": COLUMNS},
            "label": LABEL,
            "split": SPLIT,
        },
        read_100k,
        users=users_100k,
        items=items_100k,
        features=("age", "gender", "occupation", "release_date", *FLAGS),
    ),
    Layout(
        "MovieLens 100k, one half of a split",
        write_100k,
        {"interactions": {"path": "ua.base", "format": "tsv", "header": False, "fields": FIELDS, "columns": COLUMNS}},
        lambda folder: pd.read_csv(
            folder / "ua.base", sep="\t", names=NAMES_100K, dtype={"user": str, "item": str}
        ),
        inspect="ua.base",
    ),
    Layout(
        "MovieLens 1M",
        write_1m,
        {
            "interactions": {"path": "ratings.dat", "delimiter": "::", "header": False, "fields": FIELDS, "columns": COLUMNS},
            "label": LABEL,
            "split": SPLIT,
        },
        read_dat,
        users=users_1m,
        items=items_1m,
        features=("gender", "age", "occupation", "genres"),
    ),
    Layout(
        "MovieLens 10M",
        write_10m,
        {
            "interactions": {"path": "ratings.dat", "delimiter": "::", "header": False, "fields": FIELDS, "columns": COLUMNS},
            "label": LABEL,
            "split": SPLIT,
        },
        read_dat,
        items=items_10m,
        features=("genres",),
    ),
    Layout(
        "MovieLens 20M, 25M, 32M, latest",
        write_25m,
        {"interactions": {"path": "ratings.csv", "columns": CSV_COLUMNS}, "label": LABEL, "split": SPLIT},
        read_25m,
        items=items_25m,
        features=("genres",),
    ),
)  # fmt: skip
