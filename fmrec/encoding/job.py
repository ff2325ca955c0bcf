"""The encoding job: raw interactions to recordIO-protobuf parts, a feature index and a manifest.

Ingest → index → encode ids → split and label → attach features → shuffle → write → commit. Files are parsed
once; from then on only packed rows of numbers move, and distinct ids. Shuffles stand between the stages only.
Tasks store the parts themselves, and the driver makes them appear when all counts add up. The driver holds
counts by file, piece, partition, bucket and reason, never rows, users or items.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from fmrec.artifacts.layout import MANIFEST
from fmrec.artifacts.manifest import Dropped, Manifest
from fmrec.dataset import Dataset, ImplicitLabel
from fmrec.deployment.shape_rule import full_weight_picks, sampling
from fmrec.encoding.facts_for_messages import DataFacts, count_events, most_interactions
from fmrec.encoding.feature_index import SIDES, Keep
from fmrec.encoding.features.attribute_counts import FeatureReport
from fmrec.encoding.features.attribute_files import AttributeFiles, open_attributes
from fmrec.encoding.features.side_features import context_of
from fmrec.encoding.index_task import INDEX, fits_index_task
from fmrec.encoding.ingest.read_interactions import Ingested, ingest
from fmrec.encoding.ingest.spark_errors import READING_SETTINGS, to_input_error
from fmrec.encoding.one_task import encode_in_one_task, fits_one_task
from fmrec.encoding.run_manifest import manifest_of, outcome_of
from fmrec.encoding.run_outputs import RunOutputs
from fmrec.encoding.session_settings import PLAN_ONCE, session_settings
from fmrec.encoding.shuffle_plan import Range
from fmrec.encoding.stages import Stages
from fmrec.encoding.stored_parts import TaskSummary, store_no_pairs
from fmrec.encoding.training_check import check_training
from fmrec.errors import FmrecError
from fmrec.events.erasure import read_erasures
from fmrec.storage import object_store
from fmrec.storage.part_files import SUFFIX, Output, WrittenPart

PARQUET = ".parquet"
OUTPUTS = {"seen": PARQUET, "heldout": PARQUET, "train": SUFFIX, "test": SUFFIX}
"""What tasks store, in folders of these names, and how the parts' names end."""
PIECES_PER_CORE = 4
Progress = Callable[[str, int | None], None]
"""Called with each step that begins, and the number of rows that it works on, once known."""
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # Compressing cached columns costs more time than reading their bytes back from disk.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Packed rows are large, so batches are bounded by bytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(4 << 20),
    **READING_SETTINGS,
}


def encode(
    spark: SparkSession,
    dataset: Dataset,
    raw_uri: str,
    output_uri: str,
    run: str,
    *,
    progress: Progress | None = None,
) -> Manifest:
    """Encode a data set.

    Parameters
    ----------
    raw_uri : str
        What relative paths in the data set are relative to: a folder or an S3 prefix.
    output_uri : str
        Folder or S3 prefix to write to, laid out as in docs/contracts.md. What an earlier run
        wrote there is replaced.
    run : str
        Name of the run, for the manifest.

    Returns
    -------
    Manifest
        As written to ``manifest.json``, last.

    Raises
    ------
    InputError
        The data can't be used: nothing there, a field missing, too many bad rows, nothing to learn from.
    FormatError
        The counts don't add up.
    """
    with session_settings(spark, _settings(spark)), contextlib.ExitStack() as caches:

        def keep(frame: DataFrame) -> DataFrame:
            kept = frame.persist(StorageLevel.DISK_ONLY)
            caches.callback(kept.unpersist)
            return kept

        tell = progress or (lambda step, rows: None)
        try:
            return _Job(spark, dataset, raw_uri, output_uri, keep, tell).run(run)
        except Exception as error:
            found = None if isinstance(error, FmrecError) else to_input_error(error)
            if found is None:
                raise
            raise found from error


def _settings(spark: SparkSession) -> dict[str, str]:
    """Return what the job relies on."""
    # Files are cut finely enough that no core is left waiting for the last piece.
    pieces = PIECES_PER_CORE * spark.sparkContext.defaultParallelism
    return SETTINGS | {"spark.sql.files.minPartitionNum": str(pieces)}


@dataclass
class _Job:
    """One run."""

    spark: SparkSession
    dataset: Dataset
    raw_uri: str
    output_uri: str
    keep: Keep
    tell: Progress
    started: float = field(default_factory=time.monotonic)

    def run(self, run: str) -> Manifest:
        object_store.delete(self._output(MANIFEST))  # its presence means "complete"
        self.tell("reading", None)
        quarantine_uri, context = self._output("quarantine/"), context_of(self.dataset)
        erasures = read_erasures(self.raw_uri, self.dataset.name)
        with session_settings(self.spark, PLAN_ONCE):
            read = ingest(
                self.spark, self.dataset, self.raw_uri, quarantine_uri, self.keep, context, erasures=erasures
            )
        self._choose_sampling(read.good_count)
        self.tell("indexing", read.rows)
        attributes = open_attributes(self.spark, self.dataset, self.raw_uri)
        encode_rows = self._in_one_task if fits_one_task(self.dataset, read, attributes) else self._in_stages
        with contextlib.ExitStack() as uses_outputs:
            outputs, encoded = encode_rows(read, attributes, uses_outputs)
            summary, ranges = encoded.summary, encoded.ranges
            summary.tally.drop(Dropped.NOT_RATED, read.not_rated)
            summary.tally.drop(Dropped.ERASED, read.erased)
            details = self._checked(read, encoded)
            without = {side: ranges[side][1] - encoded.trained[side][1] for side in SIDES}
            if any(without.values()):
                details["without_interactions"] = without
            if encoded.tables:
                details["side_features"] = {side: f"{side}_features/" for side in encoded.tables}
            seconds = round(time.monotonic() - self.started, 3)
            manifest = manifest_of(run, self.dataset, read, summary, ranges, seconds, details)
            for side in SIDES:
                if side not in encoded.tables:  # an earlier run may have had some
                    object_store.delete_folder(self._output(f"{side}_features/"))
            outputs.commit(self._parts(outputs.folders, summary), manifest.to_json())
        return manifest

    def _in_one_task(
        self, read: Ingested, attributes: list[AttributeFiles], uses: contextlib.ExitStack
    ) -> tuple[RunOutputs, _Encoded]:
        tables = {files.side: f"{files.side}_features" for files in attributes}
        folders = OUTPUTS | dict.fromkeys((INDEX, *tables.values()), PARQUET)
        for name in (INDEX, *tables.values()):
            object_store.delete_folder(self._output(f"{name}/"))
        outputs = uses.enter_context(RunOutputs(self.output_uri, folders))
        self.tell("encoding", read.rows)
        with session_settings(self.spark, PLAN_ONCE):
            summary, index = encode_in_one_task(self.dataset, read, attributes, outputs.folders)
        warnings = index.check(self.dataset, attributes)
        found = _Encoded(
            summary,
            index.ranges,
            index.trained,
            index.events,
            lambda: index.most,
            list(tables),
            index.features,
            warnings,
        )
        return outputs, found

    def _in_stages(
        self, read: Ingested, attributes: list[AttributeFiles], uses: contextlib.ExitStack
    ) -> tuple[RunOutputs, _Encoded]:
        tables = {side: self._output(f"{side}_features/") for side in SIDES}
        stages = Stages(self.spark, self.dataset, attributes, read, self.index_uri, tables, self.keep)
        label = self.dataset.label
        if fits_index_task(read, attributes):
            object_store.delete_folder(self.index_uri)
            outputs = uses.enter_context(RunOutputs(self.output_uri, OUTPUTS | {INDEX: PARQUET}))
            indexed, stored, index = stages.index_in_one_task(outputs.folders[INDEX])
            events, most = index.events, lambda: index.most
        else:
            indexed, stored = stages.index(), TaskSummary()
            outputs = uses.enter_context(RunOutputs(self.output_uri, OUTPUTS))
            events = count_events(read.texts, label.event_weights if isinstance(label, ImplicitLabel) else ())
            most = partial(most_interactions, self.spark, self.index_uri)
        self.tell("encoding", read.rows)
        summary, written = stages.encode(indexed, outputs.folders)
        summary.parts |= stored.parts
        found = _Encoded(
            summary,
            indexed.ranges,
            indexed.trained,
            events,
            most,
            list(written),
            indexed.report,
            indexed.warnings,
        )
        return outputs, found

    def _choose_sampling(self, interactions: int) -> None:
        """Choose how many negatives and copies are written, where the document leaves it open."""
        label = self.dataset.label
        if isinstance(label, ImplicitLabel) and label.auto:
            chosen = label.chosen(**asdict(sampling(interactions)))
            chosen = replace(chosen, full_weight_picks=full_weight_picks(label))
            self.dataset = replace(self.dataset, label=chosen)

    def _checked(self, read: Ingested, encoded: _Encoded) -> dict[str, Any]:
        """Refuse what no model can learn from; return counts and warnings for the manifest."""
        outcome = outcome_of(read, encoded.summary, encoded.events)
        facts = DataFacts(self.spark, self.dataset, self.raw_uri, encoded.most_interactions)
        warnings = [*encoded.warnings, *check_training(self.dataset, outcome, facts)]
        return encoded.features.counts() | {"warnings": warnings}

    @staticmethod
    def _parts(outputs: dict[str, Output], summary: TaskSummary) -> dict[str, list[WrittenPart]]:
        """What the tasks stored, by folder; a folder of pairs is never without a part."""
        parts = {name: [stored.part for stored in summary.of(name)] for name in outputs}
        return {
            name: [store_no_pairs(outputs[name])] if not found and OUTPUTS[name] == PARQUET else found
            for name, found in parts.items()
        }

    def _output(self, name: str) -> str:
        return object_store.join(self.output_uri, name)

    @property
    def index_uri(self) -> str:
        return self._output("feature_index/")


@dataclass(frozen=True)
class _Encoded:
    """What was stored and counted.

    ``trained`` are the ranges of those users and items that have interactions, ``tables`` the sides that have
    a table of side features.
    """

    summary: TaskSummary
    ranges: dict[str, Range]
    trained: dict[str, Range]
    events: dict[str, int]
    most_interactions: Callable[[], int]
    tables: Sequence[str] = ()
    features: FeatureReport = field(default_factory=FeatureReport)
    warnings: Sequence[str] = ()
