"""What the encoding writes for eight invented data sets, held to digests of what it has always written.

The data sets differ in label, split, policies (unknown, duplicates, minimum) and side features. Part files
are digested byte by byte; Parquet (feature index, pairs, side features, quarantine) by content; the manifest
without times and without keys that a later version may add. After a change of output that is meant,
``python tests/unit/encoding/test_golden.py`` writes the digests anew.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from fmrec.dataset import Dataset
from fmrec.encoding.job import encode

GOLDEN = Path(__file__).with_name("golden.json")
HEADER = ["user_id", "item_id", "rating", "timestamp"]
DETAILS = ("negatives", "repeated", "side_features")
PARQUET = {
    "feature_index": ["column"],
    "seen": ["user_column", "item_column"],
    "heldout": ["user_column", "item_column"],
    "user_features": ["column"],
    "item_features": ["column"],
    "quarantine": ["file", "row"],
}
SIDES: dict[str, Any] = {
    "users": {"path": "users.csv"},
    "items": {"path": "items.csv"},
    "features": [
        {"name": "age", "of": "user", "kind": "bucket", "buckets": 4},
        {"name": "town", "of": "user"},
        {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued"},
        {"name": "price", "of": "item", "kind": "numeric", "scale": 0.2},
        {"name": "year", "of": "item", "column": "released", "kind": "date-part", "part": "year"},
    ],
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "binary": {"interactions": {"path": "ratings.csv"}, "split": {"method": "leave-first-n", "n": 3}},
    "regression": {
        "interactions": {"path": "ratings.csv"},
        "label": {"mode": "regression"},
        "split": {"method": "leave-last-n", "n": 2},
        "duplicates": "keep-last",
        "minimum_interactions": {"user": 5, "item": 4},
        "seed": 9,
        "parts": 3,
    },
    "implicit-sides": {
        "interactions": {"path": "ratings.csv"},
        "label": {"mode": "implicit", "threshold": 3, "negatives_per_positive": 3, "copies": 2, "seed": 5},
        "split": {"method": "random", "share": 0.2, "seed": 4},
        "duplicates": "sum",
    }
    | SIDES,
    "events-drop": {
        "interactions": {
            "path": "events.jsonl",
            "format": "jsonl",
            "columns": {"user": "visitor", "item": "page", "timestamp": "at", "event": "event"},
            "timestamp_format": "iso8601",
        },
        "label": {
            "mode": "implicit",
            "event_weights": {"view": 0.4, "cart": 1, "buy": 3},
            "negatives_per_positive": 2,
        },
        "split": {"method": "time-cut", "at": "2024-03-01"},
        "features": [
            {"name": "device", "of": "interaction"},
            {"name": "hour", "of": "interaction", "column": "at", "kind": "date-part", "part": "hour"},
            {"name": "amount", "of": "interaction", "kind": "numeric"},
        ],
        "minimum_interactions": {"user": 2, "item": 1},
        "unknown": "drop",
    },
    "features-only": {
        "interactions": {"path": "ratings.csv"},
        "label": {"mode": "binary", "threshold": 3},
        "split": {"method": "time-cut", "at": 1_600_090_000},
        "unknown": "features-only",
        "parts": 2,
    }
    | SIDES,
    "popularity": {
        "interactions": {
            "path": "orders/",
            "format": "tsv",
            "header": False,
            "fields": ["order", "customer", "sku", "quantity", "time"],
            "columns": {"user": "customer", "item": "sku", "value": "quantity", "timestamp": "time"},
            "timestamp_format": "milliseconds",
        },
        "label": {"mode": "implicit", "negatives_per_positive": 2, "sampling": "popularity"},
        "split": {"method": "leave-last-n", "n": 1},
        "duplicates": "keep-last",
        "minimum_interactions": {"user": 3, "item": 2},
    },
    "drop-quarantine": {
        "interactions": {"path": "damaged.csv"},
        "split": {"method": "time-cut", "at": 1_600_080_000},
        "duplicates": "sum",
        "unknown": "drop",
        "users": {"path": "users.csv"},
        "features": [{"name": "town", "of": "user"}, {"name": "age", "of": "user", "kind": "numeric"}],
    },
    "validation": {
        "interactions": {"path": "ratings.parquet", "format": "parquet"},
        "label": {"mode": "regression"},
        "split": {"method": "leave-last-n", "n": 1},
        "validation": True,
        "items": {"path": "items.csv"},
        "features": [
            {"name": "genre", "of": "item", "column": "genres", "kind": "multi-valued", "scale": 0.3}
        ],
        "seed": 2,
    },
}


def draws(seed: int) -> Iterator[int]:
    """Yield numbers below 2^31 that are the same everywhere (a linear congruential generator)."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def write_raw(folder: Path) -> None:
    draw = draws(7)

    def below(limit: int) -> int:
        return next(draw) % limit

    def rating_rows(count: int, users: int, items: int) -> list[tuple[int, int, int, int]]:
        return [
            (
                1 + below(users) * below(users) // users,
                10 + below(items),
                1 + below(5),
                1_600_000_000 + at * 60 + below(30_000),
            )
            for at in range(count)
        ]

    ratings = rating_rows(2000, 120, 90)
    lines = [",".join(map(str, row)) for row in ratings]
    (folder / "ratings.csv").write_text("\n".join([",".join(HEADER), *lines]) + "\n")
    columns = [list(column) for column in zip(*ratings, strict=True)]
    pq.write_table(pa.table(columns, names=HEADER), folder / "ratings.parquet")
    broken = ["1,2,3", ",5,4,1600000000", "7,12,good,1600000000", '"9,11,3,1600000000', "3,14,5,soon"]
    for at, line in enumerate(broken):
        lines.insert(300 * at + 17, line)
    (folder / "damaged.csv").write_text("\n".join([",".join(HEADER), *lines]) + "\n")
    towns = ["Oslo", "Rome", "", "Paris"]
    users = [f"{user},{18 + below(60) if below(6) else ''},{towns[below(4)]}" for user in range(1, 110)]
    (folder / "users.csv").write_text("\n".join(["user_id,age,town", *users, "stranger,30,Bonn"]) + "\n")
    genres = ["Drama", "Comedy|Drama", "", "War|Comedy|Drama", "War"]
    items = [
        f"{item},{genres[below(5)]},{below(9000) / 100},{1990 + below(9)}-0{1 + below(9)}-15"
        for item in range(12, 102)
    ]
    (folder / "items.csv").write_text("\n".join(["item_id,genres,price,released", *items]) + "\n")
    events = [
        {
            "visitor": f"v{below(60)}",
            "page": f"p{below(40) if at < 900 else below(50)}",
            "at": f"2024-0{1 + at // 400}-{1 + below(28):02d}T{below(24):02d}:00:00Z",
            "event": ["view", "view", "cart", "buy", "scroll"][below(5)],
            "device": ["phone", "desk", None][below(3)],
            "amount": below(50) / 4,
        }
        for at in range(1200)
    ]
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
    (folder / "orders").mkdir()
    for name in ("a.tsv", "b.tsv"):
        orders = [
            f"o{at}\tc{below(50) * below(50) // 50}\ts-{below(60)}\t{1 + below(4)}\t{1_600_000_000_000 + below(10**9)}"
            for at in range(500)
        ]
        (folder / "orders" / name).write_text("\n".join(orders) + "\n")


def digests(output: Path, raw: Path) -> dict[str, str]:
    """Return a digest for each thing that an encoding writes."""

    def digest(content: str | bytes) -> str:
        return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]

    found = {
        f"{path.parent.name}/{path.name}": digest(path.read_bytes())
        for path in sorted(output.glob("*/*.pbr"))
    }
    for name, order in PARQUET.items():
        if list((output / name).glob("*.parquet")):
            table = pads.dataset(output / name).to_table()
            rows = table.sort_by([(key, "ascending") for key in order]).to_pylist()
            text = json.dumps([table.schema.names, *[[*row.values()] for row in rows]])
            found[name] = digest(text.replace(str(raw), ""))
    manifest = json.loads((output / "manifest.json").read_text())
    for key in ("run", "created", "seconds"):
        del manifest[key]
    manifest["details"] = {key: manifest["details"][key] for key in DETAILS if key in manifest["details"]}
    document = DOCUMENTS[output.name]
    manifest["dataset"] = {
        key: manifest["dataset"][key] for key in ("label", "split", "duplicates", "unknown")
    }
    assert set(document["interactions"]) <= {
        "path",
        "format",
        "columns",
        "timestamp_format",
        "header",
        "fields",
    }
    found["manifest"] = digest(json.dumps(manifest, sort_keys=True))
    return found


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    write_raw(folder)
    return folder


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_encoding_writes_what_it_has_always_written(
    name: str, raw: Path, spark: SparkSession, tmp_path: Path
) -> None:
    encode(spark, Dataset.from_document(DOCUMENTS[name]), str(raw), str(tmp_path / name), "test")
    assert digests(tmp_path / name, raw) == json.loads(GOLDEN.read_text())[name]


def main() -> None:
    from fmrec.encoding.local_spark import local_session

    spark = local_session("2")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        (raw := Path(folder, "raw")).mkdir()
        write_raw(raw)
        for name, document in DOCUMENTS.items():
            output = Path(folder, name)
            encode(spark, Dataset.from_document(document), str(raw), str(output), "test")
            found[name] = digests(output, raw)
    spark.stop()
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
