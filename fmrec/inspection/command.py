"""``fmrec inspect``: look at files and write the data set document, or check one against the files."""

from __future__ import annotations

import argparse
import json
import sys

from fmrec.dataset import Dataset
from fmrec.inspection.agreement import disagreements
from fmrec.inspection.findings_text import as_json, in_words
from fmrec.inspection.inspection import inspect
from fmrec.inspection.listing import list_files
from fmrec.storage import object_store

EXIT_DISAGREES = 2
EXIT_UNDECIDED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("path", metavar="PATH", help="file, folder or pattern such as events/*.csv, local or s3://")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print all that was found as JSON")
    parser.add_argument("--output", metavar="FILE", help="write the data set document to this file")
    parser.add_argument(
        "--check",
        metavar="FILE",
        help="a data set document to compare with the files; its paths are relative to PATH, or to the folder of "
        "PATH if that is a file. Exit code 2 where they disagree",
    )


def run(args: argparse.Namespace) -> int:
    """Print what was found; return 0, 1 if no document describes the files, or 2 if the checked one is wrong.

    Raises
    ------
    FmrecError
        The files or the document can't be read.
    """
    if args.check:
        return _check(args)
    found = inspect(args.path)
    if args.json:
        print(json.dumps(as_json(found), indent=2, ensure_ascii=False))
    else:
        print(in_words(found))
    if found.document is None:
        if args.output:
            print(f"fmrec inspect: nothing written to {args.output}", file=sys.stderr)
        return EXIT_UNDECIDED
    if args.output:
        text = json.dumps(found.document, indent=2, ensure_ascii=False) + "\n"
        object_store.write_bytes(args.output, text.encode())
        if not args.json:
            print(
                f"written to {args.output}; encode with: fmrec encode --input {found.root} --dataset {args.output} --output DIR"
            )
    return 0


def _check(args: argparse.Namespace) -> int:
    document = object_store.read_json_object(args.check)
    found = disagreements(Dataset.from_document(document), list_files(args.path))
    if args.json:
        print(json.dumps({"document": args.check, "path": args.path, "disagreements": found}, indent=2))
    elif found:
        print("\n".join(found))
    else:
        print(f"{args.check} agrees with {args.path}")
    return EXIT_DISAGREES if found else 0
