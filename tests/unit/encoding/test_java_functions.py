"""The JVM is asked for its functions once."""

from __future__ import annotations

from typing import Any

import pytest
from py4j.java_gateway import JavaClass, JVMView  # type: ignore[import-untyped]
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that everybody knows

from fmrec.encoding.java_functions import CLASSES


def test_queries_don_t_look_for_common_functions(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def watched(ask: Any) -> Any:
        def watch(owner: Any, name: str) -> Any:
            asked.append(name)
            return ask(owner, name)

        return watch

    for owner in (JVMView, JavaClass):
        monkeypatch.setattr(owner, "__getattr__", watched(owner.__getattr__))
    first = F.when(F.col("id") == F.lit(0), "first").otherwise(F.upper(F.lit("other")))
    rows = spark.range(2).select(first.alias("text"), "id").collect()
    assert [tuple(row) for row in rows] == [("first", 0), ("OTHER", 1)]
    assert "upper" in asked
    assert not {name for names in CLASSES.items() for name in (names[0], *names[1])} & {*asked}
