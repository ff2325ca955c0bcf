"""Public data sets whose files have no header: the names of their fields, from their own documentation.

A file is recognised by its name, the number of its fields, and a shape that its first lines have. The
rest of the inspection then treats the names like those of a header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_RATINGS = ("user_id", "item_id", "rating", "timestamp")
_ASIN = r"(?:B[0-9A-Z]{9}|\d{9}[0-9X])"
_REVIEWER = r"A[0-9A-Z]{9,}"


@dataclass(frozen=True)
class KnownFile:
    """``name`` and ``line`` are patterns that a file's name and its first lines match entirely."""

    dataset: str
    name: str
    fields: tuple[str, ...]
    line: str = ".*"
    several: bool = False
    """The field ``item_id`` holds a list."""


KNOWN_FILES = (
    KnownFile("MovieLens 100k", r"u\.data|u[1-5ab]\.(base|test)", _RATINGS, r"\d+\t\d+\t[1-5]\t\d+"),
    KnownFile("MovieLens 100k", r"u\.user", ("user_id", "age", "gender", "occupation", "zip_code")),
    KnownFile(
        "MovieLens 100k",
        r"u\.item",
        ("item_id", "title", "release_date", "video_release_date", "imdb_url", *_GENRES_100K),
    ),
    KnownFile("MovieLens 1M and 10M", r"ratings\.dat|r[1-5ab]\.(train|test)", _RATINGS),
    KnownFile("MovieLens 1M", r"users\.dat", ("user_id", "gender", "age", "occupation", "zip_code")),
    KnownFile("MovieLens 1M and 10M", r"movies\.dat", ("item_id", "title", "genres")),
    KnownFile("MovieLens 10M", r"tags\.dat", ("user_id", "item_id", "tag", "timestamp")),
    KnownFile("YooChoose", r"yoochoose-(clicks|test).*", ("session_id", "timestamp", "item_id", "category")),
    KnownFile(
        "YooChoose", r"yoochoose-buys.*", ("session_id", "timestamp", "item_id", "price", "quantity")
    ),
    KnownFile(
        "Amazon reviews", r".*", ("user_id", "item_id", "rating", "timestamp"), rf"{_REVIEWER},{_ASIN},.*"
    ),
    KnownFile(
        "Amazon reviews", r".*", ("item_id", "user_id", "rating", "timestamp"), rf"{_ASIN},{_REVIEWER},.*"
    ),
    KnownFile(
        "Steam 200k", r"steam.*\.csv", ("user_id", "game", "behavior", "hours", "unused"), r".*,(play|purchase),.*"
    ),
    KnownFile(
        "MIND", r"behaviors\.tsv", ("impression_id", "user_id", "time", "history", "impressions")
    ),
    KnownFile(
        "MIND",
        r"news\.tsv",
        ("news_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities"),
    ),
    KnownFile("Last.fm 360k", r"usersha1-artmbid-artname-plays.*", ("user_id", "artist_mbid", "artist_name", "plays")),
    KnownFile("Last.fm 360k", r"usersha1-profile.*", ("user_id", "gender", "age", "country", "signup")),
    KnownFile(
        "Last.fm 1K",
        r"userid-timestamp-artid-artname-traid-traname.*",
        ("user_id", "timestamp", "artist_id", "artist_name", "track_id", "track_name"),
    ),
    KnownFile(
        "Taobao user behavior",
        r"UserBehavior.*\.csv",
        ("user_id", "item_id", "category_id", "behavior", "timestamp"),
        r".*,(pv|buy|cart|fav),.*",
    ),
)  # fmt: skip


def known_file(name: str, fields: int, lines: Sequence[str]) -> KnownFile | None:
    """Return the public data set that a file without a header belongs to."""
    for known in KNOWN_FILES:
        if len(known.fields) == fields and re.fullmatch(known.name, name, re.IGNORECASE):
            shown = [line for line in lines[:20] if line.strip()]
            fits = sum(re.fullmatch(known.line, line) is not None for line in shown)
            if shown and fits >= 0.8 * len(shown):
                return known
    return None
