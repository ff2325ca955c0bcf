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

from pyspark.sql import SparkSession

from fmrec.dataset import Dataset
from fmrec.encoding.java_functions import remember_functions
from fmrec.encoding.job import encode
from fmrec.encoding.report import ProgressLines, closing_table
from fmrec.errors import SettingsError
from fmrec.execution.data_bucket import check_raw_paths


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
    remember_functions(spark)
    progress = ProgressLines()
    dataset = read_dataset(known.dataset, known.raw)
    if known.validation == "true":
        dataset = replace(dataset, validation=True)
    manifest = encode(spark, dataset, known.raw, known.output, known.run, progress=progress)
    progress.close()
    print(closing_table(manifest), flush=True)


def read_dataset(text: str, raw: str) -> Dataset:
    """Return a data set document that is given as JSON text, whose files lie below the raw prefix.

    The document comes from an execution's input: it may not lead to files of this machine.

    Raises
    ------
    SettingsError
        It is not JSON, not a data set document, or names files that lie elsewhere.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError("the data set document is not JSON") from error
    dataset = Dataset.from_document(document)
    check_raw_paths(dataset.to_document(), raw)
    return dataset


if __name__ == "__main__":
    main()
