"""``fmrec encode``: on this machine, by the same code, what the Glue job does."""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from fmrec.dataset import Dataset
from fmrec.dataset.section import Section
from fmrec.dataset.sources import DEFAULT_COLUMNS
from fmrec.encoding.report import ProgressLines, closing_table
from fmrec.errors import SettingsError
from fmrec.storage import object_store

ROLES = {"user": "user", "item": "item", "rating": "value", "value": "value", "timestamp": "timestamp", "event": "event"}  # fmt: skip
"""Words for --columns, and the roles they name."""
ROLE_ORDER = ("user", "item", "value", "timestamp", "event")
SPLIT_ARGUMENTS: dict[str, tuple[str, type]] = {
    "leave-first-n": ("n", int),
    "leave-last-n": ("n", int),
    "time-cut": ("at", str),
    "random": ("share", float),
}
"""What stands after the colon of --split, by method."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--input", required=True, help="file, folder or glob of interactions; or with --dataset the folder that its paths are relative to")  # fmt: skip
    parser.add_argument("--output", required=True, help="folder to write train/, test/, feature_index/, seen/, heldout/, quarantine/ and manifest.json to")  # fmt: skip
    parser.add_argument("--dataset", metavar="FILE", help="a data set document (JSON); the options below change single settings of it")  # fmt: skip
    parser.add_argument("--format", choices=("csv", "tsv", "jsonl", "parquet"), help="default csv")
    parser.add_argument("--delimiter", help=r"between fields, default a comma; \t is a tab")
    parser.add_argument("--header", action=argparse.BooleanOptionalAction, default=None, help="whether files begin with a line of column names (default yes)")  # fmt: skip
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="the header's names for user, item, rating and timestamp, in this order (default "
        "user_id,item_id,rating,timestamp); or what each column of the file holds, in the file's order: "
        "user, item, rating, timestamp, event, or any other word for a column to leave alone",
    )
    parser.add_argument("--label", choices=("binary", "regression", "implicit"), help="default binary")
    parser.add_argument("--threshold", type=float, help="minimum rating that counts as positive, default 4")
    parser.add_argument("--negatives", type=int, metavar="N", help="implicit: sampled negatives per positive")
    parser.add_argument("--split", metavar="METHOD[:VALUE]", help="leave-first-n:10 (default), leave-last-n:1, time-cut:2025-01-31, random:0.1 or none")  # fmt: skip
    parser.add_argument("--seed", type=int, help="decides the order of training rows, default 0")
    parser.add_argument("--parts", type=int, help="training parts to write, default one per 32 MiB")
    parser.add_argument("--run", help="name of the run in the manifest, default made up")
    parser.add_argument("--cores", default="*", help="cores to use, default all")
    parser.add_argument("--memory", default="2g", help="Java heap, e.g. 4g; more is seldom needed")
    parser.add_argument("--quiet", action="store_true", help="no progress lines")


def run(args: argparse.Namespace) -> int:
    """Encode and print the closing table; return 0.

    Raises
    ------
    FmrecError
        A setting, the data or the machine can't be used as they are.
    """
    document = to_document(args)
    dataset = Dataset.from_document(document)

    from fmrec.encoding.job import encode
    from fmrec.encoding.local_spark import local_session

    with tempfile.TemporaryDirectory(prefix="fmrec-") as scratch:
        spark = local_session(args.cores, args.memory, scratch)
        progress = None
        if not args.quiet:
            progress = ProgressLines(tracker=spark.sparkContext.statusTracker())
            progress.watch()
        try:
            manifest = encode(
                spark,
                dataset,
                args.input,
                args.output,
                args.run or f"local-{uuid.uuid4().hex[:8]}",
                progress=progress,
            )
        finally:
            if progress is not None:
                progress.close()
            spark.stop()
    print(closing_table(manifest))
    print(f"written to {args.output}")
    return 0


def to_document(args: argparse.Namespace) -> dict[str, Any]:
    """Turn the arguments into a data set document.

    Raises
    ------
    InputError
        The document is not JSON, can't be read, or an argument doesn't fit.
    """
    document: dict[str, Any] = {}
    if args.dataset:
        document = object_store.read_json_object(args.dataset)
    for key in ("interactions", "label"):
        Section(document.setdefault(key, {}), key)
    interactions = document["interactions"]
    if not args.dataset:
        interactions["path"] = _absolute(args.input)
    for key, value in (("format", args.format), ("delimiter", args.delimiter), ("header", args.header)):
        if value is not None:
            interactions[key] = value.replace("\\t", "\t") if isinstance(value, str) else value
    if args.columns:
        interactions |= _columns(args, interactions)
    elif interactions.get("header") is False and "fields" not in interactions:
        interactions |= {"fields": list(DEFAULT_COLUMNS.values()), "columns": DEFAULT_COLUMNS}
    _set_label(args, document)
    if args.split:
        document["split"] = _split(args.split)
    for key in ("seed", "parts"):
        if getattr(args, key) is not None:
            document[key] = getattr(args, key)
    return document


def _set_label(args: argparse.Namespace, document: dict[str, Any]) -> None:
    label = document["label"]
    if args.label and args.label != label.get("mode", "binary"):
        label.clear()
    for key, value in (
        ("mode", args.label),
        ("threshold", args.threshold),
        ("negatives_per_positive", args.negatives),
    ):
        if value is not None:
            label[key] = value


def _absolute(path: str) -> str:
    return path if "://" in path else str(object_store.local_path(path).absolute())


def _columns(args: argparse.Namespace, interactions: dict[str, Any]) -> dict[str, Any]:
    """Understand --columns: the header's names of the roles in order, or each column's role."""
    names = [name.strip() for name in args.columns.split(",")]
    roles = {ROLES[name]: name for name in names if name in ROLES}
    if interactions.get("header", True):
        delimiter = interactions.get("delimiter", "\t" if interactions.get("format") == "tsv" else ",")
        delimited = interactions.get("format", "csv") in ("csv", "tsv")
        header = _header(args.input, delimiter) if delimited else []
        if not {"user", "item"} <= set(roles) or set(names) <= set(header) or len(names) != len(header):
            return {"columns": dict(zip(ROLE_ORDER, names, strict=False))}
    if len(roles) < sum(name in ROLES for name in names):
        raise SettingsError(f"--columns is {args.columns!r}: expected each role once")
    if not {"user", "item"} <= set(roles):
        raise SettingsError(
            f"--columns is {args.columns!r}: expected user and item among what the file's columns hold"
        )
    fields = [name if name in ROLES else f"{name}#{at}" for at, name in enumerate(names)]
    return {"fields": fields, "columns": roles}


def _header(path: str, delimiter: str) -> list[str]:
    """Return the header of a local text file, or nothing where looking is not that simple."""
    if "://" in path or not Path(path).is_file() or path.endswith((".gz", ".bz2", ".zst", ".snappy")):
        return []
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        return [name.strip('"') for name in file.readline().rstrip("\r\n").split(delimiter)]


def _split(text: str) -> dict[str, Any]:
    method, _, value = text.partition(":")
    document: dict[str, Any] = {"method": method}
    if value:
        if method not in SPLIT_ARGUMENTS:
            raise SettingsError(f"--split is {text!r}: {method} takes no value")
        key, kind = SPLIT_ARGUMENTS[method]
        try:
            document[key] = kind(value)
        except ValueError:
            raise SettingsError(f"--split is {text!r}: expected a {kind.__name__} after the colon") from None
    if method == "time-cut" and value.replace(".", "", 1).isdecimal():
        document["at"] = float(value)
    return document


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="fmrec encode")
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
