"""The Glue job that encodes raw interactions: arguments in, ``fmrec.encoding`` does it.

Arguments (docs/contracts.md): ``--dataset`` (a data set document as JSON, or the s3:// URI of one),
``--raw``, ``--output`` and ``--run``, optionally ``--validation true`` (rows to choose hyperparameters by, in
place of test rows); Glue adds its own, which are left alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import SparkSession

from fmrec.dataset import Dataset
from fmrec.encoding.job import encode
from fmrec.encoding.report import ProgressLines, closing_table
from fmrec.errors import SettingsError
from fmrec.storage import object_store


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the job.

    Raises
    ------
    FmrecError
        Its message is one sentence, which Glue shows as the run's error.
    """
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for name in ("dataset", "raw", "output", "run"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--validation", choices=("true", "false"), default="false")
    known, _ = parser.parse_known_args(arguments)
    spark = SparkSession.builder.getOrCreate()
    progress = ProgressLines()
    dataset = Dataset.from_document(read_document(known.dataset))
    if known.validation == "true":
        dataset = replace(dataset, validation=True)
    manifest = encode(spark, dataset, known.raw, known.output, known.run, progress=progress)
    progress.close()
    print(closing_table(manifest), flush=True)


def read_document(dataset: str) -> Any:
    """Return a data set document given as JSON text or as a URI.

    Raises
    ------
    SettingsError
        It is not JSON.
    InputError
        There is nothing at the URI.
    """
    text = dataset if dataset.lstrip().startswith("{") else object_store.read_text(dataset)
    try:
        return json.loads(text)
    except ValueError as error:
        raise SettingsError(f"the data set document is not JSON: {error}") from error


if __name__ == "__main__":
    main()
