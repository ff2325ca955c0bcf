"""The job on small data: bad rows, formats, policies, and sentences for what can't be encoded."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from fmrec.artifacts.manifest import Manifest
from fmrec.deployment.shape_rule import Sampling, Shape, sampling
from fmrec.errors import InputError
from fmrec.recordio import decode

Encode = Callable[..., Manifest]
HEADER = "user_id,item_id,rating,timestamp\n"
ALL_TRAIN = {"split": {"method": "none"}}


def read(folder: Path) -> list[tuple[dict[int, float], float]]:
    """Rows as ({column: value}, label)."""
    parts = sorted(folder.iterdir())
    matrix, labels = decode(b"".join(path.read_bytes() for path in parts))
    assert labels is not None
    rows = [matrix[at] for at in range(matrix.shape[0])]
    return [
        (dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)), label)
        for row, label in zip(rows, labels.tolist(), strict=True)
    ]


BAD_ROWS: list[tuple[bytes, str | None, str]] = [
    (b"1,2,3", None, "wrong number of fields"),
    (b"1,2,3,4,5", None, "wrong number of fields"),
    (b'"1,2,3,4', None, "unbalanced quotes"),
    (b",2,3,4", "user_id", "missing user"),
    (b"1,  ,3,4", "item_id", "missing item"),
    (b"1,2,,4", "rating", "missing value"),
    (b"1,2,good,4", "rating", "value is not a number"),
    (b"1,2,4f,4", "rating", "value is not a number"),
    (b"1,2,NaN,4", "rating", "value is not finite"),
    (b"1,2,-Infinity,4", "rating", "value is not finite"),
    (b"1,2,1e39,4", "rating", "value is not finite"),
    (b"1,2,3,", "timestamp", "missing timestamp"),
    (b"1,2,3,yesterday", "timestamp", "timestamp is not a time"),
    (b"1,2,3,881250949000", "timestamp", "timestamp out of range"),
    (b"1,2,3,-5", "timestamp", "timestamp out of range"),
    (b"u" * 257 + b",2,3,4", "user_id", "user too long"),
    (b"1," + b"i" * 300 + b",3,4", "item_id", "item too long"),
    (b"caf\xe9,2,3,4", None, "invalid UTF-8"),
    (b"1,2,0x1p1,4", "rating", "value is not a number"),
    (b"1,2,1_0,4", "rating", "value is not a number"),
    (b"1,2,1e400,4", "rating", "value is not finite"),
    (b"1,2,3,500d", "timestamp", "timestamp is not a time"),
    (b"1,2,3,0x1p9", "timestamp", "timestamp is not a time"),
    (b"1,2,3,inf", "timestamp", "timestamp is not a time"),
]

GOOD_ROWS = 100 * len(BAD_ROWS)


def test_every_bad_row_is_quarantined_for_its_reason_and_every_good_row_encoded(
    encode_document: Encode, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    lines = [b"user_id,item_id,rating,timestamp"]
    expected = []
    for at in range(GOOD_ROWS):
        if at % 100 == 50:
            line, column, reason = BAD_ROWS[at // 100]
            expected.append((len(lines) + 1, line.decode(errors="replace"), column, reason))
            lines.append(line)
        lines.append(f"{at % 7},{at % 5},{at % 5 + 1},{at}".encode())
    (raw / "rows.csv").write_bytes(b"\n".join(lines) + b"\n\n")
    manifest = encode_document({"interactions": {"path": "rows.csv"}} | ALL_TRAIN, raw, tmp_path / "out")

    found = pads.dataset(tmp_path / "out/quarantine").to_table().to_pylist()
    assert sorted((row["row"], row["raw"], row["column"], row["reason"]) for row in found) == expected
    assert all(row["file"].endswith("/rows.csv") for row in found)
    assert manifest.quarantine_reasons == {
        reason: sum(entry[3] == reason for entry in expected) for reason in sorted({e[3] for e in expected})
    }
    assert (manifest.rows.read, manifest.rows.quarantined) == (GOOD_ROWS + len(BAD_ROWS), len(BAD_ROWS))
    pairs = sorted(tuple(sorted(columns)) for columns, _ in read(tmp_path / "out/train"))
    assert pairs == sorted((at % 7, 7 + at % 5) for at in range(GOOD_ROWS))


def test_formats_and_ways_of_writing_the_same_rows_make_the_same_files(
    encode_document: Encode, tmp_path: Path
) -> None:
    rows = [(f"u{at % 9}", f"it,em {at % 4}", float(at % 5 + 1), at) for at in range(90)]
    names = ["user_id", "item_id", "rating", "timestamp"]
    for name in ("csv", "tsv", "gz", "jsonl", "parquet", "bare"):
        (tmp_path / name).mkdir()
    quoted = [f'{user},"{item}",{value},{time}' for user, item, value, time in rows]
    (tmp_path / "csv/a.csv").write_text("\ufeff" + ",".join(names) + "\r\n" + "\r\n".join(quoted))
    (tmp_path / "bare/a.csv").write_text("\n".join(quoted))
    with gzip.open(tmp_path / "gz/a.csv.gz", "wt") as file:
        file.write(",".join(names) + "\n" + "\n".join(quoted) + "\n")
    tabbed = ["\t".join(map(str, row)) for row in rows]
    (tmp_path / "tsv/a.tsv").write_text("\t".join(names) + "\n" + "\n".join(tabbed))
    objects = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (tmp_path / "jsonl/a.jsonl").write_text("\n".join(objects))
    columns = [list(column) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(columns, names=names), tmp_path / "parquet/a.parquet")
    sources: dict[str, dict[str, Any]] = {
        "csv": {}, "gz": {}, "tsv": {"format": "tsv"}, "jsonl": {"format": "jsonl"},
        "parquet": {"format": "parquet"}, "bare": {"header": False, "fields": names},
    }  # fmt: skip
    found = {}
    for name, source in sources.items():
        document = {
            "interactions": source | {"path": f"{name}/"},
            "split": {"method": "leave-first-n", "n": 2},
        }
        manifest = encode_document(document, tmp_path, tmp_path / f"out-{name}")
        assert (manifest.rows.read, manifest.users, manifest.items) == (90, 9, 4)
        found[name] = [
            (tmp_path / f"out-{name}/{part}/part-00000.pbr").read_bytes() for part in ("train", "test")
        ]
    # Rows are numbered with the header, and their numbers decide their order.
    for alike in (("csv", "gz", "tsv"), ("jsonl", "parquet", "bare")):
        assert [name for name in alike if found[name] != found[alike[0]]] == []
    rows_of = [sorted(map(str, read(tmp_path / f"out-{name}/train"))) for name in ("csv", "bare")]
    assert rows_of[0] == rows_of[1]


def test_what_was_too_rare_or_met_in_test_only_is_dropped_and_counted(
    encode_document: Encode, tmp_path: Path
) -> None:
    rows = [(user, item, 5, 10) for user in "abc" for item in "xyz"]
    rows += [("rare", "x", 5, 10), ("a", "odd", 5, 10)]
    rows += [("late", item, 5, 90) for item in "xyz"] + [
        ("a", "new", 5, 90),
        ("b", "new", 5, 90),
        ("c", "new", 1, 90),
    ]
    (tmp_path / "rows.csv").write_text(HEADER + "\n".join(",".join(map(str, row)) for row in rows))
    document: dict[str, Any] = {
        "interactions": {"path": "rows.csv"},
        "split": {"method": "time-cut", "at": 50},
        "minimum_interactions": {"user": 2, "item": 2},
        "unknown": "drop",
    }
    manifest = encode_document(document, tmp_path, tmp_path / "drop")
    assert manifest.dropped_reasons == {
        "item below the minimum": 1, "item met in test only": 3, "user below the minimum": 1,
        "user met in test only": 3,
    }  # fmt: skip
    assert (manifest.rows.read, manifest.rows.train, manifest.rows.test) == (17, 9, 0)
    # a, b, c, late; new, x, y, z
    assert (manifest.users, manifest.items) == (4, 4)

    (tmp_path / "items.csv").write_text("item_id,colour\nx,red\nnew,blue\nnew,red\n")
    document |= {
        "unknown": "features-only",
        "items": {"path": "items.csv"},
        "features": [{"name": "colour", "of": "item"}],
    }
    manifest = encode_document(document, tmp_path, tmp_path / "keep")
    assert manifest.rows.test == 6
    red = pytest.approx(0.1)
    assert [(columns, label) for columns, label in read(tmp_path / "keep/test")] == [
        ({5: 1.0, 8: red}, 1.0), ({6: 1.0}, 1.0), ({7: 1.0}, 1.0),
        ({0: 1.0, 8: red}, 1.0), ({1: 1.0, 8: red}, 1.0), ({2: 1.0, 8: red}, 0.0),
    ]  # fmt: skip
    assert manifest.ranges["colour"] == (8, 9)


def test_a_click_log_is_weighed_by_event_and_described_by_its_context(
    encode_document: Encode, tmp_path: Path
) -> None:
    events = ["view", "buy", "scroll"]
    lines = [
        json.dumps(
            {
                "visitor": f"v{at % 20}", "page": f"p{at % 30}", "at": f"2025-06-{at % 9 + 1:02d}T10:00:00Z",
                "event": events[at % 3], "device": ["phone", "desk"][at % 2], "price": at % 4,
            }
        )
        for at in range(300)
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    document = {
        "interactions": {
            "path": "log.jsonl", "format": "jsonl", "timestamp_format": "iso8601",
            "columns": {"user": "visitor", "item": "page", "timestamp": "at", "event": "event"},
        },
        "label": {"mode": "implicit", "event_weights": {"view": 1, "buy": 3}, "negatives_per_positive": 2},
        "split": {"method": "time-cut", "at": "2025-06-09"},
        "features": [
            {"name": "device", "of": "interaction"},
            {"name": "price", "of": "interaction", "kind": "numeric", "scale": 1},
            {"name": "weekday", "of": "interaction", "column": "at", "kind": "date-part", "part": "day-of-week"},
        ],
    }  # fmt: skip
    manifest = encode_document(document, tmp_path, tmp_path / "out")
    held_out = [at for at in range(300) if at % 9 == 8]
    picked = [at for at in range(300) if at % 3 != 2]
    views = [at for at in picked if at % 3 == 0 and at not in held_out]
    buys = [at for at in picked if at % 3 == 1 and at not in held_out]
    assert manifest.dropped_reasons == {"met, but not picked": 100}
    assert manifest.rows.train == len(views) + len(buys)
    assert manifest.train.rows == 3 * (len(views) + 3 * len(buys))
    assert manifest.test.rows == 3 * len([at for at in picked if at in held_out])
    rows = read(tmp_path / "out/train")
    first, end = manifest.ranges["device"]
    assert end - first == 2
    price = manifest.ranges["price"][0]
    prices = np.arange(300) % 4
    weights = (prices - prices.mean()) / prices.std()
    for columns, _ in rows:
        assert sum(first <= column < end for column in columns) == 1
        assert columns[price] == pytest.approx(weights[np.argmin(abs(weights - columns[price]))], rel=1e-5)
    assert manifest.nnz_per_row == 5.0


def test_negatives_and_copies_that_nobody_chose_are_chosen_by_size_and_said_in_the_manifest(
    encode_document: Encode, tmp_path: Path
) -> None:
    lines = [f"{user},{(user * 7 + at) % 100},5,{at}" for user in range(20) for at in range(5)]
    lines += [f"20,{at},5,{at}" for at in range(90)]
    (tmp_path / "rows.csv").write_text(HEADER + "\n".join(lines))
    document = {"interactions": {"path": "rows.csv"}, "label": {"mode": "implicit"}, **ALL_TRAIN}
    manifest = encode_document(document, tmp_path, tmp_path / "out")
    assert sampling(190) == Sampling(8, 8)
    label = manifest.dataset["label"]
    assert (label["negatives_per_positive"], label["copies"]) == (8, 8)
    assert label["full_weight_picks"] == 40
    # Of 90 picks each is in two thirds of the copies, in 5 or 6 of 8.
    thinned = manifest.details["thinned"]["train"]
    assert 90 * 2 <= thinned <= 90 * 3
    assert manifest.rows.train == 190
    assert manifest.train.rows == (190 * 8 - thinned) * (1 + 8)
    share = round(1 - thinned / (190 * 8), 4)
    assert Shape.of(manifest) == Shape(round(190 - thinned / 8), 21, 97, 8, 8, share)
    said = encode_document(manifest.dataset, tmp_path, tmp_path / "said")
    names = [sorted(path.name for path in (tmp_path / out / "train").iterdir()) for out in ("out", "said")]
    assert names[0] == names[1]
    for name in names[0]:
        parts = [(tmp_path / out / "train" / name).read_bytes() for out in ("out", "said")]
        assert parts[0] == parts[1]
    assert said.dataset == manifest.dataset


@pytest.mark.parametrize(
    ("content", "interactions", "sentence"),
    [
        (None, {"path": "nowhere.csv"}, "nowhere.csv holds no file: check the path"),
        ("", {}, "rows.csv is empty: expected rows"),
        (HEADER, {}, "rows.csv holds no rows, only headers or blank lines"),
        ("user,item\n1,2\n", {}, "rows.csv lacks the column 'user_id' (user); its columns are 'user', 'item'"),
        (HEADER.replace(",", ";"), {}, "the delimiter ',' does not occur in it, but ';' does: check delimiter"),
        ("1,2,3\n", {"header": False, "fields": ["user_id", "item_id", "rating", "timestamp"]},
         "the first line has 3 fields, expected 4 (user_id, item_id, rating, timestamp)"),
        (HEADER + "a,b,c,d\n", {}, "none of the 1 rows"),
        (HEADER + "a,b,c,d\n1,2,3,4\n", {}, "1 of 2 rows"),
        ('{"user_id": 1}\n', {"format": "jsonl"}, "the first objects lack 'item_id', 'rating', 'timestamp', their keys are 'user_id'"),
        ("no parquet", {"format": "parquet"}, "rows.csv can't be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_encoded_is_said_in_a_sentence(
    content: str | None, interactions: dict[str, Any], sentence: str, encode_document: Encode, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "rows.csv").write_text(content)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text("of an earlier run")
    with pytest.raises(InputError, match=re.escape(sentence)):
        encode_document({"interactions": {"path": "rows.csv"} | interactions}, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_file_that_ends_too_early_is_named(encode_document: Encode, tmp_path: Path) -> None:
    content = gzip.compress((HEADER + "1,2,3,4\n" * 1000).encode())
    (tmp_path / "rows.csv.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"rows\.csv\.gz can't be read"):
        encode_document({"interactions": {"path": "rows.csv.gz"}}, tmp_path, tmp_path / "out")


@pytest.mark.parametrize("fast", [True, False])
def test_interactions_of_erased_users_are_left_out_up_to_their_erasure_and_counted(
    encode_document: Encode, tmp_path: Path, fast: bool
) -> None:
    """Both readings of lines: whole columns, and the JVM's, which reads times of other formats."""
    raw = tmp_path / "raw"
    (raw / "interactions").mkdir(parents=True)
    times = ["1000", "2000", "3000"] if fast else [f"1970-01-01T00:{at}:00Z" for at in ("16", "33", "50")]
    rows = [(user, item, time) for user in ("ann", "bob", "eve") for item, time in enumerate(times)]
    lines = "".join(f"{user},{item},4,{time}\n" for user, item, time in rows)
    (raw / "interactions/a.csv").write_text(HEADER + lines + "ann,,4,0\n")
    for dataset, user, at in (("default", "ann", 2000), ("default", "eve", 1e10), ("other", "bob", 1e10)):
        folder = raw / "erasures" / dataset
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{user}.json").write_text(json.dumps({"user_id": user, "erased_at": at}))
    document = ALL_TRAIN | {
        "interactions": {
            "columns": {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"},
            "timestamp_format": "seconds" if fast else "iso8601",
        },
        "quarantine": {"max_share": 0.2},
    }
    manifest = encode_document(document, raw, tmp_path / "out")
    assert manifest.dropped_reasons == {"user erased": 5}
    assert (manifest.rows.read, manifest.rows.encoded, manifest.rows.quarantined) == (10, 4, 1)
    index = pads.dataset(tmp_path / "out/feature_index").to_table().to_pylist()
    counts = {row["name"]: row["interactions"] for row in index if row["namespace"] == "user"}
    assert counts == {"ann": 1, "bob": 3}
