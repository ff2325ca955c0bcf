"""Files that are no public data set's: names in other languages, verdicts, lists, containers."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fmrec.dataset import Dataset
from fmrec.inspection.agreement import disagreements
from fmrec.inspection.inspection import Inspection, inspect
from fmrec.inspection.listing import list_files
from tests.unit.inspection.layouts.layout import lines, ratings, utc

Write = Callable[[Path], None]
NULL = r"\N"
ROWS = list(ratings("people").itertuples())


def found(write: Write, folder: Path) -> Inspection:
    write(folder)
    result = inspect(str(folder))
    if result.document is not None:
        Dataset.from_document(result.document)
    return result


def german(folder: Path) -> None:
    rows = [f"K{r.user};A-{r.item};{r.value},5;{utc(r.time, '%d.%m.%Y')}" for r in ROWS]
    lines(folder, "bewertungen.csv", ["\ufeffKunde;Artikel;Bewertung;Datum", *rows], end="\r\n")


def cp1252(folder: Path) -> None:
    rows = [f"Müller {r.user},“Café” {r.item},{r.value}" for r in ROWS]
    lines(folder, "käufe.csv", ["Käufer,Produkt,Menge", *rows], "cp1252")


def quoted_tabs(folder: Path) -> None:
    rows = [f's{r.user}\t"Tea, ""green""\t{r.item}"\t{r.value}\t{r.time}' for r in ROWS]
    lines(folder, "log.tsv", ["session\tproduct_name\tstars\tts", *rows])


def nested_log(folder: Path) -> None:
    texts = [
        json.dumps({"actor": {"id": f"u{r.user}"}, "object": {"sku": f"p{r.item}"}, "verb": ("view", "buy")[at % 2], "ts": r.time * 1000})
        for at, r in enumerate(ROWS)
    ]  # fmt: skip
    lines(folder, "events.log", ["".join(texts[at : at + 3]) for at in range(0, len(texts), 3)])


def unnamed_gzip(folder: Path) -> None:
    text = "user\titem\tplays\n" + "".join(f"{r.user}\t{r.item}\t{r.value}\n" for r in ROWS)
    (folder / "dump").write_bytes(gzip.compress(text.encode()))


def zipped(folder: Path) -> None:
    text = "user\titem\tplays\n" + "".join(f"{r.user}\t{r.item}\t{r.value}\n" for r in ROWS)
    with zipfile.ZipFile(folder / "plays.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/plays.tsv", text)
        archive.writestr("__MACOSX/export/._plays.tsv", "x")


def blanks_around_names(folder: Path) -> None:
    rows = [text for r in ROWS for text in (f"{r.user} , {r.item} , {r.value}", "")]
    lines(folder, "r.csv", ["", "User ID , Item ID , Rating", *rows], end="\r\n")


def index_of_pandas(folder: Path) -> None:
    rows = [f"{at},{r.user},{r.item},{r.value},{r.time}000.0" for at, r in enumerate(ROWS)]
    lines(folder, "ratings.csv", [",uid,mid,score,time", *rows])


def two_schemas(folder: Path) -> None:
    half = len(ROWS) // 2
    old, new = ROWS[:half], ROWS[half:]
    times = pa.array([r.time * 10**9 for r in old], pa.timestamp("ns"))
    pq.write_table(
        pa.table({"customer_id": [r.user for r in old], "sku": [f"s{r.item}" for r in old], "created_at": times}),
        folder / "2023.parquet",
    )  # fmt: skip
    texts = [utc(r.time, "%Y-%m-%dT%H:%M:%S") for r in new]
    pq.write_table(
        pa.table({"created_at": texts, "sku": [f"s{r.item}" for r in new], "customer_id": [str(r.user) for r in new]}),
        folder / "2024.parquet",
    )  # fmt: skip


def first_header_only(folder: Path) -> None:
    rows = [f"{r.user},{r.item},{r.value},{r.time}" for r in ROWS]
    lines(folder, "part-00000.csv", ["user_id,item_id,rating,timestamp", *rows[:200]])
    lines(folder, "part-00001.csv", rows[200:])


def first_header_only_of_ids(folder: Path) -> None:
    lines(folder, "part-00000.csv", ["user_id,item_id", *(f"{r.user},{r.item}" for r in ROWS[:200])])
    lines(folder, "part-00001.csv", [f"{r.user},{r.item}" for r in ROWS[200:]])


def baskets(folder: Path) -> None:
    rows = [
        {"customer": f"c{r.user}", "items": [f"sku{(r.item + at) % 40}" for at in range(1 + r.value % 3)], "at": r.time}
        for r in ROWS
    ]  # fmt: skip
    lines(folder, "baskets.json", [json.dumps(row) for row in rows])


def json_array(folder: Path) -> None:
    rows = [{"userId": r.user, "movieId": r.item, "rating": r.value, "timestamp": r.time} for r in ROWS]
    (folder / "export.json").write_text(json.dumps(rows))


def indented_array(folder: Path) -> None:
    rows = [{"userId": r.user, "movieId": r.item, "rating": r.value, "timestamp": r.time} for r in ROWS]
    (folder / "export.json").write_text(json.dumps(rows, indent=2))


def thumbs(folder: Path) -> None:
    rows = [
        f'R_{r.user},"Song {r.item}",{("down", "up")[r.value > 3]},"{utc(r.time, "%b %d, %Y %I:%M %p")}"'
        for r in ROWS
    ]
    lines(folder, "feedback.csv", ["Respondent ID,Song,Thumb,When", *rows])


def booleans(folder: Path) -> None:
    rows = [{"user": f"u{r.user}", "post": r.item, "liked": r.value > 3} for r in ROWS]
    lines(folder, "likes.jsonl", [json.dumps(row) for row in rows])


def impressions(folder: Path) -> None:
    rows = [f"{at},u{r.user},{r.item},{int(r.value > 4)},{r.time}" for at, r in enumerate(ROWS)]
    lines(folder, "ads.csv", ["click_id,user_id,ad_id,clicked,ts", *rows])


def database_dump(folder: Path) -> None:
    rows = [
        f"{at}\t{r.user}\t{r.item}\t{NULL if at % 50 == 0 else r.value}\t{utc(r.time, '%Y-%m-%d %H:%M:%S')}"
        for at, r in enumerate(ROWS, start=1)
    ]
    lines(folder, "ratings.txt", rows)


TIMED = {"split": {"method": "leave-last-n", "n": 1}}
RATED = {"mode": "implicit", "threshold": 4}
PICKED = {"mode": "implicit"}
MOVIES = {"user": "userId", "item": "movieId", "value": "rating", "timestamp": "timestamp"}
FIELDS = ["user_id", "item_id", "rating", "timestamp"]
EXPECTED: list[tuple[Write, dict[str, Any], Any]] = [
    (german, {
        "path": "bewertungen.csv", "delimiter": ";", "decimal": ",", "timestamp_format": "dd.MM.yyyy",
        "columns": {"user": "Kunde", "item": "Artikel", "value": "Bewertung", "timestamp": "Datum"},
    }, RATED | {"threshold": 5}),
    (cp1252, {
        "path": "käufe.csv", "encoding": "cp1252",
        "columns": {"user": "Käufer", "item": "Produkt", "value": "Menge"},
    }, PICKED),
    (quoted_tabs, {
        "path": "log.tsv", "format": "tsv", "quote": '"',
        "columns": {"user": "session", "item": "product_name", "value": "stars", "timestamp": "ts"},
    }, RATED),
    (nested_log, {
        "path": "events.log", "format": "jsonl", "timestamp_format": "milliseconds",
        "columns": {"user": "actor.id", "item": "object.sku", "timestamp": "ts", "event": "verb"},
    }, PICKED | {"event_weights": {"view": 0.2, "buy": 3.0}}),
    (unnamed_gzip, {
        "path": "dump", "format": "tsv", "columns": {"user": "user", "item": "item", "value": "plays"},
    }, PICKED),
    (zipped, {
        "path": "plays.zip", "format": "tsv", "columns": {"user": "user", "item": "item", "value": "plays"},
    }, PICKED),
    (blanks_around_names, {
        "path": "r.csv", "columns": {"user": "User ID", "item": "Item ID", "value": "Rating"},
    }, RATED),
    (index_of_pandas, {
        "path": "ratings.csv", "fields": ["field_1", "uid", "mid", "score", "time"],
        "timestamp_format": "milliseconds",
        "columns": {"user": "uid", "item": "mid", "value": "score", "timestamp": "time"},
    }, RATED),
    (two_schemas, {
        "path": "202*.parquet", "format": "parquet", "timestamp_format": "iso8601",
        "columns": {"user": "customer_id", "item": "sku", "timestamp": "created_at"},
    }, PICKED),
    (first_header_only, {
        "path": "part-0000*.csv", "header": False, "fields": FIELDS,
        "columns": dict(zip(("user", "item", "value", "timestamp"), FIELDS, strict=True)),
    }, RATED),
    (first_header_only_of_ids, {
        "path": "part-0000*.csv", "header": False, "fields": FIELDS[:2], "missing": ["user_id"],
        "columns": {"user": "user_id", "item": "item_id"},
    }, PICKED),
    (baskets, {
        "path": "baskets.json", "format": "jsonl", "item_separator": "|",
        "columns": {"user": "customer", "item": "items", "timestamp": "at"},
    }, PICKED),
    (json_array, {"path": "export.json", "format": "jsonl", "columns": MOVIES}, RATED),
    (indented_array, {"path": "export.json", "format": "jsonl", "columns": MOVIES}, RATED),
    (thumbs, {
        "path": "feedback.csv", "timestamp_format": "MMM dd, yyyy hh:mm a",
        "columns": {"user": "Respondent ID", "item": "Song", "timestamp": "When", "event": "Thumb"},
    }, PICKED | {"event_weights": {"down": 0.0, "up": 1.0}}),
    (booleans, {
        "path": "likes.jsonl", "format": "jsonl",
        "columns": {"user": "user", "item": "post", "event": "liked"},
    }, PICKED | {"event_weights": {"false": 0.0, "true": 1.0}}),
    (impressions, {
        "path": "ads.csv",
        "columns": {"user": "user_id", "item": "ad_id", "value": "clicked", "timestamp": "ts"},
    }, RATED | {"threshold": 1}),
    (database_dump, {
        "path": "ratings.txt", "format": "tsv", "header": False, "missing": [NULL],
        "timestamp_format": "iso8601", "fields": ["field_1", *FIELDS],
        "columns": dict(zip(("user", "item", "value", "timestamp"), FIELDS, strict=True)),
    }, RATED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "interactions", "label"), EXPECTED, ids=[write.__name__ for write, _, _ in EXPECTED]
)
def test_the_document_is_what_a_person_would_write(
    write: Write, interactions: dict[str, Any], label: dict[str, Any], tmp_path: Path
) -> None:
    result = found(write, tmp_path)

    assert result.document is not None, result.question
    assert result.document["interactions"] == interactions
    assert result.document["label"] == label
    assert result.recipe is None
    # Only a file without names leaves open which field is which.
    assert (result.question is None) == (write is not database_dump)


def test_ratings_in_words_are_asked_about(tmp_path: Path) -> None:
    rows = [f"r{r.user},p{r.item},{r.value}.0 out of 5 stars" for r in ROWS]
    lines(tmp_path, "reviews.csv", ["reviewer,product,stars", *rows])
    assert "are stars ratings? They are texts, such as '" in str(inspect(str(tmp_path)).question)


def test_ids_that_a_spreadsheet_cut_are_asked_about(tmp_path: Path) -> None:
    rows = [f"c{r.user},{7_800_000_000_000 + r.item:.2E},{r.value}" for r in ROWS]
    lines(tmp_path, "r.csv", ["customer_id,product_id,qty", *rows])
    question = str(inspect(str(tmp_path)).question)
    assert "are product_id really numbers such as 7.80E+12? A spreadsheet has cut ids" in question


def test_a_field_with_one_value_is_asked_about(tmp_path: Path) -> None:
    rows = [f"shop,{r.item},{r.user},{r.value}" for r in ROWS]
    lines(tmp_path, "r.csv", ["account,product_id,visit,qty", *rows])
    assert "is account the user? It is shop in all sampled rows" in str(inspect(str(tmp_path)).question)


def test_an_object_around_everything_names_what_to_do(tmp_path: Path) -> None:
    rows = [{"userId": r.user, "movieId": r.item} for r in ROWS]
    (tmp_path / "export.json").write_text(json.dumps({"status": "ok", "data": rows}))
    result = inspect(str(tmp_path))
    assert (result.document, result.question) == (None, None)
    assert result.recipe is not None
    assert result.recipe.sentence.startswith("export.json is one object, and its list data holds what may be")


def test_lists_of_items_that_are_not_taken_apart_are_said_to_be_quarantined(tmp_path: Path) -> None:
    document = found(baskets, tmp_path).document
    assert document is not None
    del document["interactions"]["item_separator"]
    (sentence,) = disagreements(Dataset.from_document(document), list_files(str(tmp_path)))
    assert "item is a list" in sentence
