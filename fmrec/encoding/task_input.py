"""What a task that makes the index takes: chunks, and with them all that side features are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.feature_index import COUNT, NAME, NAMESPACE, SIDES
from fmrec.encoding.features.attribute_files import EXAMPLE, OWNER, READS, REASON, AttributeFiles
from fmrec.encoding.features.kinds import READ_TYPE
from fmrec.encoding.features.reading import Reading
from fmrec.encoding.index_in_memory import ChunkTexts
from fmrec.encoding.ingest.chunks import CHUNK, TEXTS
from fmrec.encoding.ingest.chunks import PLACE as CODE
from fmrec.encoding.ingest.read_interactions import Ingested
from fmrec.encoding.ingest.source_rows import PATH, POSITION, START
from fmrec.encoding.shuffle.messages import Kind, Message

CONTEXT, ATTRIBUTES = 200, 201
"""Kinds in addition to those of chunks: texts of context, and rows of attributes, as they were read."""
_CHUNK_COLUMNS = (CHUNK, "kind", "data", NAMESPACE, "first", "texts", "counts")
CONTEXT_SCHEMA = pa.schema(
    [
        (NAMESPACE, pa.int32()),
        (CHUNK, pa.int64()),
        ("first", pa.int64()),
        ("counts", pa.list_(pa.int64())),
        (READS, pa.list_(READ_TYPE)),
    ]
)
"""A text: its chunk, its code, and how often the chunk has it."""
ATTRIBUTE_SCHEMA = pa.schema(
    [
        (OWNER, pa.string()),
        (READS, pa.list_(READ_TYPE)),
        (PATH, pa.string()),
        (START, pa.int64()),
        (POSITION, pa.int64()),
        (REASON, pa.string()),
        (EXAMPLE, pa.string()),
    ]
)


def task_rows(
    read: Ingested,
    attributes: Iterable[AttributeFiles],
    contexts: Mapping[int, Reading],
    *,
    with_rows: bool,
) -> DataFrame:
    """Return all that the index is made of, in one partition and by one query; ``with_rows``: and the chunks'
    rows.
    """
    kinds = [int(Kind.ROWS), TEXTS] if with_rows else [TEXTS]
    rows = read.chunks.where(F.col("kind").isin(kinds)).select(*_CHUNK_COLUMNS)
    more = []
    for ordinal, reading in contexts.items():
        texts = read.texts.where(F.col(NAMESPACE) == ordinal)
        reads = F.array(reading.read(F.col(NAME))).alias(READS)
        columns = CHUNK, NAMESPACE, F.col(CODE).alias("first"), F.array(COUNT).alias("counts"), reads
        more.append(texts.select(F.lit(CONTEXT).alias("kind"), *columns))
    for files in attributes:
        kind, namespace = F.lit(ATTRIBUTES).alias("kind"), F.lit(SIDES.index(files.side)).alias(NAMESPACE)
        more.append(files.rows.select(kind, namespace, *ATTRIBUTE_SCHEMA.names))
    for frame in more:
        rows = rows.unionByName(frame, allowMissingColumns=True)
    return rows.coalesce(1)


@dataclass
class TaskInput:
    """What came in.

    ``contexts`` and ``attributes`` are rows as ``task_rows`` has them, the latter by side.
    """

    texts: list[ChunkTexts] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    contexts: pa.Table = field(default_factory=CONTEXT_SCHEMA.empty_table)
    attributes: dict[str, pa.Table] = field(
        default_factory=lambda: dict.fromkeys(SIDES, ATTRIBUTE_SCHEMA.empty_table())
    )

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> TaskInput:
        found = cls()
        contexts: list[pa.RecordBatch] = []
        attributes: dict[str, list[pa.RecordBatch]] = {side: [] for side in SIDES}
        for batch in batches:
            kinds = batch.column("kind")
            found._take_chunks(batch.filter(pc.less(kinds, CONTEXT)))
            texts = batch.filter(pc.equal(kinds, CONTEXT))
            if len(texts):
                contexts.append(texts.select(CONTEXT_SCHEMA.names))
            rows = batch.filter(pc.equal(kinds, ATTRIBUTES))
            for at, side in enumerate(SIDES):
                mine = rows.filter(pc.equal(rows.column(NAMESPACE), at))
                if len(mine):
                    attributes[side].append(mine.select(ATTRIBUTE_SCHEMA.names))
        if contexts:
            found.contexts = pa.Table.from_batches(contexts)
        found.attributes |= {side: pa.Table.from_batches(rows) for side, rows in attributes.items() if rows}
        return found

    def _take_chunks(self, batch: pa.RecordBatch) -> None:
        """Take chunks apart: their texts, and their rows for ``EncodeIds``."""
        for at, kind in enumerate(batch.column("kind").to_pylist()):
            chunk = batch.column(CHUNK)[at].as_py()
            if kind == Kind.ROWS:
                data = memoryview(batch.column("data")[at].as_buffer())
                self.messages.append(Message(Kind.ROWS, chunk, data))
                continue
            namespace, first = batch.column(NAMESPACE)[at].as_py(), batch.column("first")[at].as_py()
            texts, counts = batch.column("texts")[at].values, batch.column("counts")[at].values
            self.texts.append(ChunkTexts(chunk, namespace, first, texts, np.asarray(counts).astype(np.int64)))
