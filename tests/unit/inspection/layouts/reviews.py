"""Products and places: Amazon in three editions, Yelp."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pandas as pd

from tests.unit.inspection.layouts.layout import TIMED, Layout, epoch, liked, lines, ratings, utc


def _asin(item: int) -> str:
    return f"{1000000 + item * 37:010d}" if item % 2 else f"B00{item * 7919 % 10**4:04d}ZQK"


def _reviewer(user: int) -> str:
    return f"A{user * 104729 % 10**12:012d}X"


def write_amazon_ratings(folder: Path) -> None:
    frame = ratings("amazon")
    rows = [f"{_reviewer(row.user)},{_asin(row.item)},{row.value}.0,{row.time}" for row in frame.itertuples()]
    lines(folder, "ratings_Books.csv", rows)


def write_amazon_ratings_2018(folder: Path) -> None:
    frame = ratings("amazon-2018")
    rows = [f"{_asin(row.item)},{_reviewer(row.user)},{row.value}.0,{row.time}" for row in frame.itertuples()]
    lines(folder, "Books.csv", rows)


def read_amazon_ratings(folder: Path) -> pd.DataFrame:
    return pd.read_csv(
        folder / "ratings_Books.csv",
        names=["user", "item", "value", "time"],
        dtype={"user": str, "item": str},
    )


def read_amazon_ratings_2018(folder: Path) -> pd.DataFrame:
    return pd.read_csv(
        folder / "Books.csv", names=["item", "user", "value", "time"], dtype={"user": str, "item": str}
    )


def _review(row: object, at: int, edition: int) -> dict[str, object]:
    user, item, value, time = row.user, row.item, row.value, row.time  # type: ignore[attr-defined]
    review = {
        "reviewerID": _reviewer(user),
        "asin": _asin(item),
        "reviewerName": f'J. Doe "Jo" {user}',
        "reviewText": f"Good, but… {at}",
        "overall": float(value),
        "summary": "Nice" if at % 2 else "So so",
        "unixReviewTime": time // 86400 * 86400,
        "reviewTime": utc(time, "%m %-d, %Y"),
    }
    if edition == 2014:
        return review | {"helpful": [at % 4, 4]}
    extra = {"style": {"Size:": " Large", "Color:": " Blue"}, "vote": "2"} if at % 3 == 0 else {}
    return review | {"verified": at % 4 > 0} | extra


def write_amazon_json(folder: Path) -> None:
    frame = ratings("amazon-json")
    rows = [json.dumps(_review(row, at, 2014)) for at, row in enumerate(frame.itertuples())]
    lines(folder, "reviews_Office_Products_5.json", rows)
    items = [
        {"asin": _asin(at), "title": "Girls' \"Tutu\"", "price": 3.17, "related": {"also_bought": [_asin(at + 1)]}, "salesRank": {"Toys": 211}, "brand": ("Coxlures", "It's")[at % 2], "categories": [["Sports", "Dance"]]}
        for at in range(40)
    ]  # fmt: skip
    lines(folder, "meta_Office_Products.json", [repr(item) for item in items])


def write_amazon_json_2018(folder: Path) -> None:
    frame = ratings("amazon-json-2018")
    rows = [json.dumps(_review(row, at, 2018)) for at, row in enumerate(frame.itertuples())]
    lines(folder, "Office_Products_5.json", rows)
    items = [
        {
            "asin": _asin(at),
            "title": f"Product {at}",
            "brand": ("Fiskars", "3M", "Bic")[at % 3],
            "category": ["Office", ("Pens", "Paper & Co", "Ink, Toner")[at % 4 % 3]],
            "price": f"${9 + at}.99",
            "also_buy": [_asin(at + 1), _asin(at + 2)],
            "rank": {"Office": at},
        }
        for at in range(40)
    ]
    lines(folder, "meta_Office_Products.json", [json.dumps(item) for item in items])


def _read_reviews(path: Path) -> pd.DataFrame:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return pd.DataFrame(
        {
            "user": [row["reviewerID"] for row in rows],
            "item": [row["asin"] for row in rows],
            "value": [row["overall"] for row in rows],
            "time": [float(row["unixReviewTime"]) for row in rows],
        }
    )


def items_amazon_2014(folder: Path) -> pd.DataFrame:
    texts = (folder / "meta_Office_Products.json").read_text().splitlines()
    rows = [ast.literal_eval(text) for text in texts]
    return pd.DataFrame(
        [
            {"id": row["asin"], "brand": row["brand"], "related.also_bought": row["related"]["also_bought"]}
            for row in rows
        ]
    ).set_index("id")


def items_amazon_2018(folder: Path) -> pd.DataFrame:
    rows = [json.loads(line) for line in (folder / "meta_Office_Products.json").read_text().splitlines()]
    return pd.DataFrame(rows).set_index("asin")


def write_amazon_2023(folder: Path) -> None:
    frame = ratings("amazon-2023")
    rows = [
        f"{_reviewer(row.user)},{_asin(row.item)},{row.value}.0,{row.time}{at % 1000:03d}"
        for at, row in enumerate(frame.itertuples())
    ]
    lines(folder, "All_Beauty.csv", ["user_id,parent_asin,rating,timestamp", *rows])


def read_amazon_2023(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "All_Beauty.csv", dtype={"user_id": str, "parent_asin": str})
    frame = frame.set_axis(["user", "item", "value", "time"], axis=1)
    return frame.assign(time=frame.time / 1000)


def write_yelp(folder: Path) -> None:
    frame = ratings("yelp")
    rows = [
        {
            "review_id": f"r{at:020d}",
            "user_id": f"u_{row.user:018d}",
            "business_id": f"b-{row.item:018d}",
            "stars": float(row.value),
            "useful": at % 3,
            "funny": 0,
            "cool": 1,
            "text": f'Great place!\nWill come again, "sure" {at}',
            "date": utc(row.time, "%Y-%m-%d %H:%M:%S"),
        }
        for at, row in enumerate(frame.itertuples())
    ]
    lines(folder, "yelp_academic_dataset_review.json", [json.dumps(row) for row in rows])
    kinds = ("Pizza, Bars", "Bars, Nightlife, Pizza", "Shopping", "Doctors, Health & Medical")
    places = [
        {
            "business_id": f"b-{at:018d}",
            "name": f"Place {at}",
            "city": ("Tucson", "Reno", "Affton")[at % 3],
            "stars": 1 + at % 9 / 2,
            "review_count": 5 + at * 3,
            "is_open": at % 2,
            "attributes": {"WiFi": "u'free'", "ByAppointmentOnly": "True"} if at % 3 else None,
            "categories": kinds[at % 4] if at != 6 else None,
            "hours": None,
        }
        for at in range(40)
    ]
    lines(folder, "yelp_academic_dataset_business.json", [json.dumps(place) for place in places])
    visits = [
        {"business_id": f"b-{at:018d}", "date": "2016-04-26 19:49:16, 2016-08-30 18:36:57"}
        for at in range(40)
    ]
    lines(folder, "yelp_academic_dataset_checkin.json", [json.dumps(visit) for visit in visits])


def read_yelp(folder: Path) -> pd.DataFrame:
    text = (folder / "yelp_academic_dataset_review.json").read_text().splitlines()
    frame = pd.DataFrame([json.loads(line) for line in text])
    return pd.DataFrame(
        {"user": frame.user_id, "item": frame.business_id, "value": frame.stars, "time": epoch(frame.date)}
    )


def items_yelp(folder: Path) -> pd.DataFrame:
    text = (folder / "yelp_academic_dataset_business.json").read_text().splitlines()
    return pd.DataFrame([json.loads(line, parse_float=str, parse_int=str) for line in text]).set_index(
        "business_id"
    )


AMAZON = {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"}
REVIEWS = {"user": "reviewerID", "item": "asin", "value": "overall", "timestamp": "unixReviewTime"}

LAYOUTS = (
    Layout(
        "Amazon 2014, ratings only",
        write_amazon_ratings,
        {
            "interactions": {
                "path": "ratings_Books.csv", "header": False,
                "fields": ["user_id", "item_id", "rating", "timestamp"], "columns": AMAZON,
            },
            "label": liked(),
            "split": TIMED,
        },
        read_amazon_ratings,
    ),
    Layout(
        "Amazon 2018, ratings only",
        write_amazon_ratings_2018,
        {
            "interactions": {
                "path": "Books.csv", "header": False,
                "fields": ["item_id", "user_id", "rating", "timestamp"], "columns": AMAZON,
            },
            "label": liked(),
            "split": TIMED,
        },
        read_amazon_ratings_2018,
    ),
    Layout(
        "Amazon 2014, reviews and metadata",
        write_amazon_json,
        {
            "interactions": {"path": "reviews_Office_Products_5.json", "format": "jsonl", "columns": REVIEWS},
            "label": liked(),
            "split": TIMED,
        },
        lambda folder: _read_reviews(folder / "reviews_Office_Products_5.json"),
        items=items_amazon_2014,
        features=("brand",),
    ),
    Layout(
        "Amazon 2018, reviews and metadata",
        write_amazon_json_2018,
        {
            "interactions": {"path": "Office_Products_5.json", "format": "jsonl", "columns": REVIEWS},
            "label": liked(),
            "split": TIMED,
        },
        lambda folder: _read_reviews(folder / "Office_Products_5.json"),
        items=items_amazon_2018,
        features=("brand", "category", "also_buy"),
    ),
    Layout(
        "Amazon 2023, ratings only",
        write_amazon_2023,
        {
            "interactions": {
                "path": "All_Beauty.csv",
                "columns": {"user": "user_id", "item": "parent_asin", "value": "rating", "timestamp": "timestamp"},
                "timestamp_format": "milliseconds",
            },
            "label": liked(),
            "split": TIMED,
        },
        read_amazon_2023,
    ),
    Layout(
        "Yelp",
        write_yelp,
        {
            "interactions": {
                "path": "yelp_academic_dataset_review.json", "format": "jsonl",
                "columns": {"user": "user_id", "item": "business_id", "value": "stars", "timestamp": "date"},
                "timestamp_format": "iso8601",
            },
            "label": liked(),
            "split": TIMED,
        },
        read_yelp,
        items=items_yelp,
        features=("city", "stars", "review_count", "is_open", "categories"),
    ),
)  # fmt: skip
