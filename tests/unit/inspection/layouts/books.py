"""Books: Book-Crossing and Goodreads."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.unit.inspection.layouts.layout import DRAWN, TIMED, Layout, epoch, liked, lines, ratings, utc


def _isbn(item: int) -> str:
    return f"{item * 7919 % 10**8:09d}{'X' if item % 5 == 0 else item % 10}"


def write_book_crossing(folder: Path) -> None:
    frame = ratings("book-crossing", users=60, rows=700, values=(0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 3, 1))
    rows = [f'"{276725 + row.user}";"{_isbn(row.item)}";"{row.value}"' for row in frame.itertuples()]
    lines(folder, "BX-Book-Ratings.csv", ['"User-ID";"ISBN";"Book-Rating"', *rows], "latin-1")
    places = ("porto, v.n.gaia, portugal", "bogotá, n/a, colombia", "münchen, bayern, germany")
    users = [
        f'"{276725 + at}";"{places[at % 3]}";{"NULL" if at % 3 == 0 else chr(34) + str(15 + at) + chr(34)}'
        for at in range(60)
    ]
    lines(folder, "BX-Users.csv", ['"User-ID";"Location";"Age"', *users], "latin-1")
    titles = ("Clara Callan", "Décision", 'The \\"Best\\" Book', "Fish &amp; Chips")
    publishers = ("Ballantine", "Éditions du Seuil", "Scribner")
    books = [
        f'"{_isbn(at)}";"{titles[at % 4]} {at}";"Author {at}";"{1970 + at % 33}";"{publishers[at % 3]}";'
        f'"http://images.amazon.com/images/P/{_isbn(at)}.jpg"'
        for at in range(40)
    ]
    head = '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"'
    lines(folder, "BX-Books.csv", [head, *books], "latin-1")


def read_book_crossing(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "BX-Book-Ratings.csv", sep=";", encoding="latin-1", dtype=str)
    frame = frame.set_axis(["user", "item", "value"], axis=1).astype({"value": float})
    return frame[frame.value != 0].reset_index(drop=True)


def users_book_crossing(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "BX-Users.csv", sep=";", encoding="latin-1", dtype=str, na_values=["NULL"])
    return frame.set_index("User-ID")


def items_book_crossing(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "BX-Books.csv", sep=";", encoding="latin-1", dtype=str, escapechar="\\")
    return frame.set_index("ISBN")


def write_goodreads_csv(folder: Path) -> None:
    frame = ratings("goodreads", values=(0, 0, 0, 3, 4, 5, 2, 1))
    rows = [f"{row.user},{row.item + 900},{row.value and 1},{row.value},0" for row in frame.itertuples()]
    lines(folder, "goodreads_interactions.csv", ["user_id,book_id,is_read,rating,is_reviewed", *rows])


def read_goodreads_csv(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "goodreads_interactions.csv", dtype={"user_id": str, "book_id": str})
    frame = frame.rename(columns={"user_id": "user", "book_id": "item", "rating": "value"})
    return frame[frame.value != 0].reset_index(drop=True)


def write_goodreads_json(folder: Path) -> None:
    frame = ratings("goodreads-json", values=(0, 0, 0, 3, 4, 5, 2, 1))
    day = "%a %b %d %H:%M:%S -0700 %Y"
    rows = [
        json.dumps(
            {
                "user_id": f"{row.user * 99991:032x}",
                "book_id": str(row.item + 25000),
                "review_id": f"{at * 31337:032x}",
                "is_read": bool(row.value),
                "rating": row.value,
                "review_text_incomplete": 'Čapek, "Válka"' if at % 7 == 0 else "",
                "date_added": utc(row.time, day),
                "date_updated": utc(row.time + 99, day),
                "read_at": utc(row.time, day) if row.value else "",
                "started_at": "",
            },
            ensure_ascii=False,
        )
        for at, row in enumerate(frame.itertuples())
    ]
    lines(folder, "goodreads_interactions_poetry.json", rows)


def read_goodreads_json(folder: Path) -> pd.DataFrame:
    text = (folder / "goodreads_interactions_poetry.json").read_text().splitlines()
    frame = pd.DataFrame([json.loads(line) for line in text])
    times = pd.to_datetime(frame.date_added, format="%a %b %d %H:%M:%S %z %Y", utc=True)
    frame = pd.DataFrame(
        {"user": frame.user_id, "item": frame.book_id, "value": frame.rating, "time": epoch(times)}
    )
    return frame[frame.value != 0].reset_index(drop=True)


LAYOUTS = (
    Layout(
        "Book-Crossing",
        write_book_crossing,
        {
            "interactions": {
                "path": "BX-Book-Ratings.csv", "delimiter": ";",
                "columns": {"user": "User-ID", "item": "ISBN", "value": "Book-Rating"}, "not_rated": ["0"],
            },
            "label": liked(8),
            "split": DRAWN,
        },
        read_book_crossing,
        users=users_book_crossing,
        items=items_book_crossing,
        features=("Location", "Age", "Year-Of-Publication", "Publisher"),
    ),
    Layout(
        "Goodreads, CSV",
        write_goodreads_csv,
        {
            "interactions": {
                "path": "goodreads_interactions.csv",
                "columns": {"user": "user_id", "item": "book_id", "value": "rating"}, "not_rated": ["0"],
            },
            "label": liked(),
            "split": DRAWN,
        },
        read_goodreads_csv,
    ),
    Layout(
        "Goodreads, JSON",
        write_goodreads_json,
        {
            "interactions": {
                "path": "goodreads_interactions_poetry.json", "format": "jsonl",
                "columns": {"user": "user_id", "item": "book_id", "value": "rating", "timestamp": "date_added"},
                "timestamp_format": "EEE MMM dd HH:mm:ss Z yyyy", "not_rated": ["0"],
            },
            "label": liked(),
            "split": TIMED,
        },
        read_goodreads_json,
    ),
)  # fmt: skip
