"""News, games, music, films and jokes: MIND, Steam, Last.fm, Netflix, Jester, anime."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd

from tests.unit.inspection.layouts.layout import (
    DRAWN,
    PICKED,
    TIMED,
    Layout,
    epoch,
    generator,
    lines,
    ratings,
    utc,
)

ARTISTS = ("betty blowtorch", "die Ärzte", 'guns n" roses', "sigur rós")


def write_mind(folder: Path) -> None:
    random = generator("mind")
    rows = []
    for at in range(160):
        user, time = at % 40, 1_573_000_000 + at * 7919
        history = " ".join(f"N{55189 + item}" for item in random.choice(30, 1 + user % 6, replace=False))
        if at in (7, 50):
            history = ""
        shown = " ".join(
            f"N{55689 + item}-{int(item % 5 == 0)}" for item in random.choice(20, 6, replace=False)
        )
        rows.append(f"{at + 1}\tU{13740 + user}\t{utc(time, '%-m/%-d/%Y %-I:%M:%S %p')}\t{history}\t{shown}")
    lines(folder, "behaviors.tsv", rows)
    kinds = (
        ("lifestyle", "lifestyleroyals"),
        ("sports", "football_nfl"),
        ("sports", "golf"),
        ("news", "newsus"),
    )
    news = [
        f'N{55189 + at}\t{kinds[at % 4][0]}\t{kinds[at % 4][1]}\tThe "Brands" {at}\tShop the notebooks, {at}\t'
        f'https://assets.msn.com/labs/mind/AAGH{at}.html\t[{{"Label": "Prince {at}", "Type": "P"}}]\t[]'
        for at in range(30)
    ]
    lines(folder, "news.tsv", news)
    lines(folder, "entity_embedding.vec", [f"Q{at}\t-0.063388\t-0.181451" for at in range(9)])


def read_mind(folder: Path) -> pd.DataFrame:
    names = ["impression", "user", "time", "history", "impressions"]
    frame = pd.read_csv(folder / "behaviors.tsv", sep="\t", names=names, dtype=str, quoting=3)
    frame = frame[frame.history.notna()]
    frame = frame.assign(
        item=frame.history.str.split(" "),
        time=epoch(pd.to_datetime(frame.time, format="%m/%d/%Y %I:%M:%S %p")),
    )
    return frame.explode("item")[["user", "item", "time"]].reset_index(drop=True)


def items_mind(folder: Path) -> pd.DataFrame:
    names = ["id", "category", "subcategory", "title", "abstract", "url", "a", "b"]
    return pd.read_csv(folder / "news.tsv", sep="\t", names=names, dtype=str, quoting=3).set_index("id")


def write_steam(folder: Path) -> None:
    frame = ratings("steam")
    rows = [
        f'{151603712 + row.user},"{("Sid Meier, Civ", "Dota 2", "Rock & Roll")[row.item % 3]} {row.item}",{kind},{hours},0'
        for row in frame.itertuples()
        for kind, hours in (("purchase", "1.0"), ("play", f"{row.value * 7}.5"))[: 1 + row.item % 2]
    ]
    lines(folder, "steam-200k.csv", rows)


def read_steam(folder: Path) -> pd.DataFrame:
    names = ["user", "item", "event", "hours", "unused"]
    frame = pd.read_csv(folder / "steam-200k.csv", names=names, dtype=str)
    return frame[["user", "item", "event"]]


def write_steam_dicts(folder: Path) -> None:
    rows = [
        {"username": f"Chaos {row.user}", "hours": 0.1, "products": 41, "product_id": str(725280 + row.item), "date": utc(row.time, "%Y-%m-%d"), "text": "it's \"fine\"", "early_access": False}
        for row in ratings("steam-dicts").itertuples()
    ]  # fmt: skip
    text = [repr(row).replace("{'", "{u'").replace(", '", ", u'").replace(": '", ": u'") for row in rows]
    lines(folder, "steam_reviews.json", text)


def read_steam_dicts(folder: Path) -> pd.DataFrame:
    rows = [ast.literal_eval(text) for text in (folder / "steam_reviews.json").read_text().splitlines()]
    frame = pd.DataFrame(rows)
    return pd.DataFrame(
        {
            "user": frame.username,
            "item": frame["product_id"],
            "value": frame.hours,
            "time": epoch(pd.to_datetime(frame.date)),
        }
    )


def write_lastfm_360k(folder: Path) -> None:
    frame = ratings("lastfm-360k", values=(1, 8, 33, 120, 2137))
    rows = [
        f"{row.user * 99991:040x}\t{'' if row.item == 11 else f'{row.item * 77:08x}-b071-4c28-bdaa-b5{row.item:010x}'}\t"
        f"{ARTISTS[row.item % 4]} {row.item}\t{row.value}"
        for row in frame.itertuples()
    ]
    lines(folder, "usersha1-artmbid-artname-plays.tsv", rows)
    people = [
        f"{at * 99991:040x}\t{('m', 'f', '')[at % 3]}\t{20 + at if at % 4 else ''}\t{('Germany', 'Canada')[at % 2]}\t"
        f"{utc(1_170_000_000 + at * 8_000_000, '%b %-d, %Y')}"
        for at in range(30)
    ]
    lines(folder, "usersha1-profile.tsv", people)


def read_lastfm_360k(folder: Path) -> pd.DataFrame:
    names = ["user", "artist", "name", "value"]
    frame = pd.read_csv(
        folder / "usersha1-artmbid-artname-plays.tsv", sep="\t", names=names, dtype={"user": str}, quoting=3
    )
    frame = frame.rename(columns={"artist": "item"})
    return frame[frame.item.notna()][["user", "item", "value"]].reset_index(drop=True)


def users_lastfm_360k(folder: Path) -> pd.DataFrame:
    names = ["id", "gender", "age", "country", "signup"]
    frame = pd.read_csv(folder / "usersha1-profile.tsv", sep="\t", names=names, dtype=str, quoting=3)
    return frame.set_index("id")


def write_lastfm_1k(folder: Path) -> None:
    frame = ratings("lastfm-1k")
    rows = [
        f"user_{row.user + 1:06d}\t{utc(row.time, '%Y-%m-%dT%H:%M:%SZ')}\tf1b1cf71-bd35-4e99-8624-{row.item:012x}\t"
        f"Deep Dish {row.item}\t{'' if row.item % 6 == 0 else f'{row.item:08x}-8624-4e99-bd35-24a6e14d93fb'}\tTrack {row.item}"
        for row in frame.itertuples()
    ]
    lines(folder, "userid-timestamp-artid-artname-traid-traname.tsv", rows)
    people = [
        f"user_{at + 1:06d}\t{'mf'[at % 3 % 2]}\t\t{('Japan', 'Peru')[at % 2]}\t{utc(1_150_000_000 + at * 9_000_000, '%b %-d, %Y')}"
        for at in range(30)
    ]
    lines(folder, "userid-profile.tsv", ["#id\tgender\tage\tcountry\tregistered", *people])


def read_lastfm_1k(folder: Path) -> pd.DataFrame:
    names = ["user", "time", "item", "artist_name", "track", "track_name"]
    frame = pd.read_csv(
        folder / "userid-timestamp-artid-artname-traid-traname.tsv",
        sep="\t",
        names=names,
        dtype=str,
        quoting=3,
    )
    return frame[["user", "item"]].assign(time=epoch(frame.time))


def users_lastfm_1k(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "userid-profile.tsv", sep="\t", dtype=str, quoting=3).set_index("#id")


def write_netflix(folder: Path) -> None:
    frame = ratings("netflix", rows=600)
    rows: list[str] = []
    for item, group in frame.groupby("item"):
        rows.append(f"{item + 1}:")
        rows += [
            f"{1488844 + row.user},{row.value},{utc(row.time, '%Y-%m-%d')}" for row in group.itertuples()
        ]
    lines(folder, "combined_data_1.txt", rows)
    titles = [
        f"{at + 1},{1980 + at},{('Dinosaur Planet', 'Clean, Shaven', 'Amélie')[at % 3]} {at}"
        for at in range(40)
    ]
    lines(folder, "movie_titles.csv", titles, "latin-1")


def write_jester(folder: Path) -> None:
    random = generator("jester")
    rows = []
    for _ in range(60):
        rated = random.random(100) < 0.4
        values = [f"{random.uniform(-10, 10):.2f}" if told else "99" for told in rated]
        rows.append(",".join([str(int(rated.sum())), *values]))
    lines(folder, "jester-data-1.csv", rows)


def write_anime(folder: Path) -> None:
    frame = ratings("anime", users=60, rows=900, values=(-1, -1, 6, 7, 8, 9, 10, 4))
    rows = [f"{row.user + 1},{row.item + 20},{row.value}" for row in frame.itertuples()]
    lines(folder, "rating.csv", ["user_id,anime_id,rating", *rows])
    kinds = ('"Action, Comedy"', "Drama", '"Comedy, Drama, Sci-Fi"')
    films = [
        f'{at + 20},"Kimi no ""Na wa."" {at}",{kinds[at % 3]},{("TV", "Movie")[at % 2]},{at % 13 + 1},9.{at:02d},{200630 + at}'
        for at in range(40)
    ]
    lines(folder, "anime.csv", ["anime_id,name,genre,type,episodes,rating,members", *films])


def read_anime(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "rating.csv", dtype={"user_id": str, "anime_id": str})
    frame = frame.set_axis(["user", "item", "value"], axis=1)
    return frame[frame.value != -1].reset_index(drop=True)


def items_anime(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "anime.csv", dtype=str).set_index("anime_id")


LAYOUTS = (
    Layout(
        "MIND",
        write_mind,
        {
            "interactions": {
                "path": "behaviors.tsv", "format": "tsv", "header": False,
                "fields": ["impression_id", "user_id", "time", "history", "impressions"],
                "columns": {"user": "user_id", "item": "history", "timestamp": "time"},
                "timestamp_format": "M/d/yyyy h:mm:ss a", "item_separator": " ",
            },
            "label": PICKED,
            "split": TIMED,
            "duplicates": "keep-last",
        },
        read_mind,
        items=items_mind,
        features=("category", "subcategory"),
        bad={"missing item": 2},
    ),
    Layout(
        "Steam 200k",
        write_steam,
        {
            "interactions": {
                "path": "steam-200k.csv", "header": False,
                "fields": ["user_id", "game", "behavior", "hours", "unused"],
                "columns": {"user": "user_id", "item": "game", "event": "behavior"},
            },
            "label": {"mode": "implicit", "event_weights": {"purchase": 3.0, "play": 1.0}},
            "split": DRAWN,
        },
        read_steam,
    ),
    Layout(
        "Steam, Python dicts",
        write_steam_dicts,
        {
            "interactions": {
                "path": "steam_reviews.json", "format": "jsonl",
                "columns": {"user": "username", "item": "product_id", "value": "hours", "timestamp": "date"},
                "timestamp_format": "iso8601",
            },
            "label": PICKED,
            "split": TIMED,
        },
        read_steam_dicts,
    ),
    Layout(
        "Last.fm 360k",
        write_lastfm_360k,
        {
            "interactions": {
                "path": "usersha1-artmbid-artname-plays.tsv", "format": "tsv", "header": False,
                "fields": ["user_id", "artist_mbid", "artist_name", "plays"],
                "columns": {"user": "user_id", "item": "artist_mbid", "value": "plays"},
            },
            "label": PICKED,
            "split": DRAWN,
        },
        read_lastfm_360k,
        users=users_lastfm_360k,
        features=("gender", "age", "country", "signup"),
        bad={"missing item": 11},
    ),
    Layout(
        "Last.fm 1K",
        write_lastfm_1k,
        {
            "interactions": {
                "path": "userid-timestamp-artid-artname-traid-traname.tsv", "format": "tsv", "header": False,
                "fields": ["user_id", "timestamp", "artist_id", "artist_name", "track_id", "track_name"],
                "columns": {"user": "user_id", "item": "artist_id", "timestamp": "timestamp"},
                "timestamp_format": "iso8601",
            },
            "label": PICKED,
            "split": TIMED,
        },
        read_lastfm_1k,
        users=users_lastfm_1k,
        features=("gender", "country", "registered"),
        question="artist_id or track_id",
    ),
    Layout("Netflix prize", write_netflix, recipe="header-lines"),
    Layout("Jester", write_jester, recipe="wide-matrix"),
    Layout(
        "Anime recommendations",
        write_anime,
        {
            "interactions": {
                "path": "rating.csv", "columns": {"user": "user_id", "item": "anime_id", "value": "rating"},
                "not_rated": ["-1"],
            },
            "label": {"mode": "implicit", "threshold": 8},
            "split": DRAWN,
        },
        read_anime,
        items=items_anime,
        features=("genre", "type", "episodes", "rating", "members"),
    ),
)  # fmt: skip
