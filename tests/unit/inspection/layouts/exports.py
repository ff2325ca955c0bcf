"""What programs write: a Firehose stream, pandas' Parquet, a German spreadsheet's export."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests.unit.inspection.layouts.layout import PICKED, TIMED, Layout, epoch, lines, ratings, utc


def write_firehose(folder: Path) -> None:
    frame = ratings("firehose")
    rows = [
        json.dumps({"user": {"id": f"u{row.user}"}, "item": {"id": f"i{row.item}", "kind": "video"}, "action": ("play", "share")[row.value % 2], "at": row.time * 1000})
        for row in frame.itertuples()
    ]  # fmt: skip
    for hour in range(4):
        lines(folder, f"2024/06/01/{hour:02d}/events-1-2024-06-01-{hour:02d}", rows[hour::4])


def read_firehose(folder: Path) -> pd.DataFrame:
    files = sorted((folder / "2024").rglob("events-*"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return pd.DataFrame(
        {
            "user": [row["user"]["id"] for row in rows],
            "item": [row["item"]["id"] for row in rows],
            "event": [row["action"] for row in rows],
            "time": [row["at"] / 1000 for row in rows],
        }
    )


def write_parquet(folder: Path) -> None:
    frame = ratings("parquet")
    table = pd.DataFrame(
        {
            "customer_id": frame.user + 1,
            "sku": [f"SKU{item:05d}" for item in frame.item],
            "purchased_at": pd.to_datetime(frame.time, unit="s"),
        }
    )
    (folder / "orders").mkdir()
    table[:200].to_parquet(folder / "orders/part-00000.parquet")
    table[200:].to_parquet(folder / "orders/part-00001.parquet")


def read_parquet(folder: Path) -> pd.DataFrame:
    frame = pd.read_parquet(folder / "orders")
    return pd.DataFrame(
        {"user": frame.customer_id.astype(str), "item": frame.sku, "time": epoch(frame.purchased_at)}
    )


def write_utf16(folder: Path) -> None:
    frame = ratings("utf-16", values=(1.5, 2, 3.5, 4, 5))
    rows = [
        f"k{row.user};Café {row.item};{str(row.value).replace('.', ',')};{utc(row.time, '%d.%m.%Y %H:%M')}"
        for row in frame.itertuples()
    ]
    lines(folder, "bewertungen.csv", ["customer;product;rating;time", *rows], "utf-16", end="\r\n")


def read_utf16(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "bewertungen.csv", sep=";", encoding="utf-16", decimal=",")
    return pd.DataFrame(
        {
            "user": frame.customer,
            "item": frame["product"],
            "value": frame.rating,
            "time": epoch(pd.to_datetime(frame.time, format="%d.%m.%Y %H:%M")),
        }
    )


LAYOUTS = (
    Layout(
        "Events of a Firehose stream",
        write_firehose,
        {
            "interactions": {
                "path": "2024/06/01/0*/events-1-2024-06-01-0*", "format": "jsonl",
                "columns": {"user": "user.id", "item": "item.id", "timestamp": "at", "event": "action"},
                "timestamp_format": "milliseconds",
            },
            "split": TIMED,
        },
        read_firehose,
    ),
    Layout(
        "Parquet by pandas",
        write_parquet,
        {
            "interactions": {
                "path": "orders", "format": "parquet",
                "columns": {"user": "customer_id", "item": "sku", "timestamp": "purchased_at"},
                "timestamp_format": "iso8601",
            },
            "label": PICKED,
            "split": TIMED,
        },
        read_parquet,
    ),
    Layout(
        "A German spreadsheet's export",
        write_utf16,
        {
            "interactions": {
                "path": "bewertungen.csv", "delimiter": ";", "encoding": "utf-16", "decimal": ",",
                "columns": {"user": "customer", "item": "product", "value": "rating", "timestamp": "time"},
                "timestamp_format": "dd.MM.yyyy HH:mm",
            },
            "label": {"mode": "implicit", "threshold": 4},
            "split": TIMED,
        },
        read_utf16,
    ),
)  # fmt: skip
