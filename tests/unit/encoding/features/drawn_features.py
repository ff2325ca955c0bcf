"""Data sets with side features, drawn at random: every kind, and all that can be wrong with attributes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IDS = ["1", "2", "007", "7", " 7", "-3", "é", "B", "a", "12", "x y", "30", "31", "32", "33", "34"]
NUMBERS = ["1", "2.5", "-3", "1e3", "0.1", "0.1", "7", " 8 ", "", " "]
USELESS = ["free", "$5", "1e40", "NaN", "12d"]
WORDS = ["red", "Red", " red", "blue", "10", "2", "é", "", " ", "[", "a|b", "None"]
TIMES = ["2024-01-31", "1999-12-31T23:59:59Z", "2024-02-29T01:02:03", "", "soon"]
LABELS: list[dict[str, Any]] = [
    {"mode": "binary", "threshold": 3},
    {"mode": "regression"},
    {"mode": "implicit", "threshold": 2, "negatives_per_positive": 2, "copies": 2},
    {"mode": "implicit", "threshold": 2, "negatives_per_positive": 1, "sampling": "popularity"},
]
SPLITS: list[dict[str, Any]] = [
    {"method": "time-cut", "at": 700},
    {"method": "leave-last-n", "n": 2},
    {"method": "random", "share": 0.3},
]


def draw_data_set(folder: Path, seed: int, unknown: str) -> dict[str, Any]:
    """Write a data set's files to a folder, and return its document."""
    draw = random.Random(seed)  # noqa: S311 - invented data
    contexts = draw.random() < 0.7
    features = [*_features(draw, "user"), *_features(draw, "item")]
    if contexts:
        features += _features(draw, "interaction")
    draw.shuffle(features)
    _write_interactions(folder, draw)
    document: dict[str, Any] = {
        "interactions": {"path": "rows.csv"},
        "label": draw.choice(LABELS),
        "split": draw.choice(SPLITS),
        "unknown": unknown,
        "duplicates": draw.choice(["all", "keep-last", "sum"]),
        "minimum_interactions": {"user": draw.choice([1, 3]), "item": draw.choice([1, 6])},
        "features": [{"name": f"f{at}"} | feature for at, feature in enumerate(features)],
        "quarantine": {"max_share": 0.5},
    }
    for side, key in (("user", "users"), ("item", "items")):
        if any(feature["of"] == side for feature in features):
            document[key] = _write_attributes(folder, draw, side)
    return document


def _features(draw: random.Random, of: str) -> list[dict[str, Any]]:
    kinds: list[dict[str, Any]] = [
        {"column": "number", "kind": "numeric", "scale": draw.choice([0.1, 1])},
        {"column": "size", "kind": "bucket", "buckets": draw.choice([2, 5])},
        {"column": "word"},
        {"column": "words", "kind": "multi-valued", "separator": "|"},
        {"column": "since", "kind": "date-part", "part": draw.choice(["year", "month", "day-of-week"])},
    ]
    if of == "interaction":
        kinds[-1] = {
            "column": "timestamp",
            "kind": "date-part",
            "part": draw.choice(["hour", "day-of-month"]),
        }
    return [{"of": of} | kind for kind in draw.sample(kinds, draw.randrange(1, 5))]


def _texts(draw: random.Random) -> dict[str, str]:
    useless = USELESS if draw.random() < 0.2 else NUMBERS
    return {
        "number": draw.choice(useless),
        "size": draw.choice(NUMBERS),
        "word": draw.choice(WORDS),
        "words": "|".join(draw.choices(WORDS, k=draw.randrange(4))),
        "since": draw.choice(TIMES),
    }


def _write_interactions(folder: Path, draw: random.Random) -> None:
    lines = ["user_id,item_id,rating,timestamp,number,size,word,words"]
    for at in range(500):
        late = 16 if at > 350 else 12
        pair = f"{draw.choice(IDS[:late])},{draw.choice(IDS[:late])}"
        texts = _texts(draw)
        extra = ",".join(texts[name] for name in ("number", "size", "word", "words"))
        lines.append(f"{pair},{draw.randrange(1, 6)},{at * 2 + draw.randrange(200)},{extra}")
    lines[10] = "1,2,3"
    lines[20] = ",a,3,5,,,,"
    (folder / "rows.csv").write_text("\n".join(lines))


def _write_attributes(folder: Path, draw: random.Random, side: str) -> dict[str, Any]:
    """Write the attributes of most ids, of some twice, of some that no interaction has."""
    ids = [*draw.sample(IDS, 13), *draw.sample(IDS, 4), "new", "newer", "9" * 300, " ", ""]
    draw.shuffle(ids)
    rows = [{f"{side}_id": name} | _texts(draw) for name in ids]
    kind = draw.choice(["csv", "folder", "jsonl", "parquet"])
    described: dict[str, Any] = {"path": f"{side}s.{kind}"}
    if draw.random() < 0.5:
        described["without_interactions"] = True
    path = folder / f"{side}s.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        described["format"] = "parquet"
    elif kind == "jsonl":
        lists = [row | {"words": row["words"].split("|")} if at % 2 else row for at, row in enumerate(rows)]
        path.write_text("\n".join([*map(json.dumps, lists), "{broken"]))
        described["format"] = "jsonl"
    else:
        lines = [",".join(rows[0])] + [",".join(row.values()) for row in rows]
        if kind == "csv":
            lines.insert(4, "2,3")
            path.write_bytes("\n".join(lines).encode() + b"\nD\xe9j\xe0,1,1,a,a,2024-01-01\n")
        else:
            described["path"] += "/"
            path.mkdir()
            (path / "b.csv").write_text("\n".join(lines[:12]))
            (path / "a.csv").write_text("\n".join([lines[0], *lines[12:]]))
    return described
