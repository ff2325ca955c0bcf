"""The job's ingestion: files are read once, bad rows put aside, and all counted by file and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.dataset import Dataset, ImplicitLabel
from fmrec.encoding.feature_index import SIDES, Keep
from fmrec.encoding.ingest import advice
from fmrec.encoding.ingest.chunks import (
    CHUNK_SCHEMA,
    EVENTS,
    UNDECIDED,
    TaskCounts,
    bad_rows,
    count_pieces,
    distinct_texts,
    make_chunks,
    odd_lines,
    to_chunks,
)
from fmrec.encoding.ingest.encodings import undecoded_reason
from fmrec.encoding.ingest.erased_users import WithoutErased
from fmrec.encoding.ingest.fast_csv import PlainLines
from fmrec.encoding.ingest.pieces import FilePiece
from fmrec.encoding.ingest.quarantine import write_empty_quarantine, write_quarantine
from fmrec.encoding.ingest.source_rows import (
    FILE,
    LINE,
    PATH,
    POSITION,
    RAW,
    START,
    Opened,
    Piece,
    number_pieces,
    open_rows,
    resolve,
)
from fmrec.encoding.ingest.streams import read_blocks
from fmrec.encoding.ingest.text_lines import TextLines
from fmrec.encoding.ingest.validation import (
    ERASED,
    GOOD,
    NO_ROW,
    NOT_RATED,
    STATE,
    Problem,
    check_rows,
    list_of,
    number_problems,
)
from fmrec.encoding.row_numbers import RowNumbers
from fmrec.errors import InputError


@dataclass(frozen=True)
class Ingested:
    """What was read, as the driver knows it.

    ``chunks`` has the rows as ``chunks.to_chunks`` packs them; ``rows`` counts them without headers
    and blank lines, ``bad`` those that can't be used by reason, ``not_rated`` those dropped for their values,
    ``erased`` those dropped since their users are erased,
    ``files`` all by file; ``pieces`` are the files' pieces with what makes positions row and line numbers;
    ``text_bytes`` are those of all chunks' texts.
    """

    chunks: DataFrame
    rows: int
    bad: Counter[str]
    not_rated: int
    erased: int
    files: dict[str, dict[str, int]]
    pieces: list[tuple[Piece, int, int]]
    text_bytes: int

    @property
    def texts(self) -> DataFrame:
        """Each chunk's distinct ids and texts of context, as ``chunks.distinct_texts`` returns them."""
        return distinct_texts(self.chunks)

    @property
    def good_count(self) -> int:
        return self.rows - sum(self.bad.values()) - self.not_rated - self.erased

    @property
    def numbers(self) -> RowNumbers:
        ordered = sorted((piece.first, to_row) for piece, to_row, _ in self.pieces)
        return RowNumbers(
            np.array([first for first, _ in ordered], np.int64),
            np.array([row for _, row in ordered], np.int64),
        )


@dataclass(frozen=True)
class Context:
    """What side features are made of that the interactions themselves have."""

    fields: Mapping[str, str]
    """Fields to read, by the names that they get."""
    texts: Mapping[int, Column]
    """What to keep of each row, by the ordinal of a namespace in the feature index."""
    names: Mapping[int, str]
    """The field each text is made of; no name of a field, where it is made of the timestamp."""


NO_CONTEXT = Context({}, {}, {})
NOBODY: Mapping[str, float] = {}


def ingest(
    spark: SparkSession,
    dataset: Dataset,
    raw_uri: str,
    quarantine_uri: str,
    keep: Keep,
    context: Context = NO_CONTEXT,
    *,
    erasures: Mapping[str, float] = NOBODY,
) -> Ingested:
    """Read the interactions and write the bad ones to the quarantine.

    Parameters
    ----------
    erasures
        When each erased user was erased, in seconds since 1970: what happened before is dropped and counted.

    Raises
    ------
    InputError
        There are no rows, none that can be used, or more bad ones than the data set allows.
    """
    interactions = dataset.interactions
    path = resolve(raw_uri, interactions.source.path)
    source = open_rows(spark, interactions.source, path, interactions.columns | dict(context.fields))
    chunks, counts = _to_chunks(source, dataset, context, keep, erasures)
    problems = number_problems(dataset) if any(state > GOOD for _, _, state, _, _ in counts.pieces) else {}
    ingested = _count(chunks, counts, source, problems)
    if ingested.bad:
        write_quarantine(bad_rows(chunks), ingested.pieces, problems, quarantine_uri)
    else:
        write_empty_quarantine(quarantine_uri)
    advise = partial(_advice, ingested, source, dataset, problems)
    _check_usable(ingested, path, dataset.quarantine.max_share, quarantine_uri, advise)
    return ingested


def _to_chunks(
    source: Opened, dataset: Dataset, context: Context, keep: Keep, erasures: Mapping[str, float]
) -> tuple[DataFrame, TaskCounts]:
    """Make chunks of all rows, as whole columns where that is possible, and count them."""
    texts = dict(enumerate(SIDES)) | {ordinal: f"_text_{ordinal}" for ordinal in context.texts}
    timed = "timestamp" in dataset.interactions.columns
    weighted = isinstance(dataset.label, ImplicitLabel) and bool(dataset.label.event_weights)
    events = {EVENTS: "_event"} if weighted else {}
    texts |= events

    def checked(rows: DataFrame) -> DataFrame:
        if dataset.interactions.item_separator:
            lists = not dataset.interactions.source.is_delimited
            rows = _one_item_a_row(rows, dataset.interactions.item_separator, lists=lists)
        if dataset.interactions.item_value_separator:
            rows = _values_of_items(rows, dataset.interactions.item_value_separator)
        return check_rows(rows, dataset, context.fields).select(
            *SIDES,
            _value(dataset).alias("value"),
            (F.col("timestamp") if timed else F.lit(0.0)).alias("timestamp"),
            *[text.alias(texts[ordinal]) for ordinal, text in context.texts.items()],
            *[F.col("event").alias(name) for name in events.values()],
            *(FILE, START, POSITION, STATE, RAW),
        )

    roles = {side: side for side in SIDES} | {texts[at]: name for at, name in context.names.items()}
    roles |= dict.fromkeys(events.values(), "event")
    plain = PlainLines.of(source.layouts, dataset, roles)
    unerased = WithoutErased.of(erasures)
    if plain is None or source.text is None:
        chunks = keep(to_chunks(checked(source.rows), texts, unerased))
        return chunks, count_pieces(chunks)
    chunks = keep(_chunks_of_text(source.text, plain, texts, unerased))
    counts = count_pieces(chunks)
    decided = [count for count in counts.pieces if count[2] != UNDECIDED]
    if len(decided) < len(counts.pieces):
        rest = keep(to_chunks(checked(source.parse(odd_lines(chunks))), texts, unerased))
        of_rest = count_pieces(rest)
        chunks, decided = chunks.unionAll(rest), decided + of_rest.pieces
        counts.text_bytes += of_rest.text_bytes
    return chunks, TaskCounts(decided, counts.text_bytes)


def _chunks_of_text(
    text: TextLines, plain: PlainLines, texts: Mapping[int, str], unerased: WithoutErased | None
) -> DataFrame:
    """Make chunks of delimited lines where they are read."""

    def chunks(taken: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return make_chunks(map(unerased, taken) if unerased else taken, texts)

    def of_pieces(pieces: Iterable[FilePiece]) -> Iterator[pa.RecordBatch]:
        blocks = (block for piece in pieces for block in read_blocks(piece))
        return chunks(taken for block in blocks for taken in plain.of_block(block))

    return text.map(of_pieces, lambda batches: chunks(map(plain, batches)), CHUNK_SCHEMA)


def _one_item_a_row(rows: DataFrame, separator: str, *, lists: bool) -> DataFrame:
    """Make a row of each item in a field, with a place of its own; ``lists``: JSON's are taken, too."""
    texts = F.split("item", F.lit(f"\\Q{separator}\\E"), -1)
    items = F.coalesce(list_of("item"), texts) if lists else texts
    present = F.filter(items, lambda item: F.trim(item) != "")
    item = F.explode_outer(F.when(F.size(present) > 0, present)).alias("item")
    others = [name for name in rows.columns if name not in ("item", POSITION)]
    return rows.select(*[f"`{name}`" for name in others], item).withColumn(
        POSITION, F.monotonically_increasing_id()
    )


def _values_of_items(rows: DataFrame, separator: str) -> DataFrame:
    """Take an item's text apart: what stands after the last separator is its value."""
    text, mark = F.col("item"), F.lit(separator)
    value = F.when(F.contains(text, mark), F.substring_index(text, separator, -1))
    item = F.substring(text, F.lit(1), F.length(text) - F.length(value) - F.length(mark))
    return rows.withColumns({"value": value, "item": F.coalesce(item, text)})


def _value(dataset: Dataset) -> Column:
    """Return the value that a label is made of: as read or, under implicit feedback, the row's weight."""
    zero = F.lit(0.0)
    value = F.col("value") if "value" in dataset.interactions.columns else zero
    label = dataset.label
    if not isinstance(label, ImplicitLabel):
        return value
    weights = [F.lit(part) for pair in label.event_weights.items() for part in pair]
    weight = F.coalesce(F.create_map(*weights)[F.col("event")], zero) if weights else F.lit(1.0)
    return weight if label.threshold is None else F.when(value >= label.threshold, weight).otherwise(zero)


def _count(chunks: DataFrame, found: TaskCounts, source: Opened, problems: dict[int, Problem]) -> Ingested:
    """Count rows by file, piece and problem."""
    paths = source.names_of({file for file, *_ in found.pieces})
    pieces: dict[tuple[int, int], Piece] = {}
    files: dict[str, dict[str, int]] = {}
    bad: Counter[str] = Counter()
    not_rated = erased = 0
    for file, start, state, first, count in found.pieces:
        path = paths[file]
        piece = pieces.get((file, start), Piece(path, file, start, first, 0))
        pieces[file, start] = Piece(path, file, start, min(first, piece.first), piece.lines + count)
        counts = files.setdefault(path, {"read": 0, "quarantined": 0, "skipped": 0})
        counts["skipped" if state == NO_ROW else "read"] += count
        not_rated += count if state == NOT_RATED else 0
        erased += count if state == ERASED else 0
        if state in problems:
            bad[problems[state].reason] += count
            counts["quarantined"] += count
    read = sum(file["read"] for file in files.values())
    numbered = number_pieces(list(pieces.values()))
    by_name = dict(sorted(files.items()))
    return Ingested(chunks, read, bad, not_rated, erased, by_name, numbered, found.text_bytes)


def _check_usable(
    ingested: Ingested, path: str, limit: float, quarantine_uri: str, advise: Callable[[], str]
) -> None:
    if not ingested.rows:
        raise InputError(f"{path} holds no rows, only headers or blank lines: expected interactions")
    bad = sum(ingested.bad.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in ingested.bad.most_common())
    where = f"they are listed in {quarantine_uri}"
    if bad == ingested.rows:
        raise InputError(f"none of the {bad} rows of {path} can be used ({reasons}); {where}{advise()}")
    if bad > limit * ingested.rows:
        raise InputError(
            f"{bad} of {ingested.rows} rows of {path} are bad ({bad / ingested.rows:.2%}: {reasons}), more than "
            f"quarantine.max_share allows ({limit:.2%}); {where}{advise()}"
        )


def _advice(ingested: Ingested, source: Opened, dataset: Dataset, problems: dict[int, Problem]) -> str:
    """Return what to change in the document, if most bad rows have one cause that can be seen."""
    interactions = dataset.interactions
    counts = ingested.bad.most_common(1)
    if not counts:
        return ""
    reason = counts[0][0]
    if reason == undecoded_reason(interactions.source.encoding):
        return advice.on_bytes(source.files, interactions.source, "interactions")
    if reason == "item is a list":
        return (
            f"; {interactions.item!r} holds lists: set interactions.item_separator, to '|' for instance, to take "
            "each item for an interaction"
        )
    if reason.startswith("missing "):
        return advice.on_keys(source.keys, interactions)
    if not reason.startswith("timestamp ") or interactions.timestamp is None:
        return ""
    states = [state for state, problem in problems.items() if problem.reason == reason]
    rows = bad_rows(ingested.chunks).where(F.col(STATE).isin(states)).limit(advice.EXAMPLES)
    if interactions.source.format == "parquet":
        texts = advice.in_json([row[RAW] for row in rows.collect()], interactions.timestamp)
    else:
        lines = rows.select(F.col(RAW).alias(LINE), F.lit("").alias(PATH), FILE, START, POSITION)
        texts = [row[0] for row in source.parse(lines).select("timestamp").collect() if row[0] is not None]
    return advice.on_times(texts, interactions.timestamp, interactions)
