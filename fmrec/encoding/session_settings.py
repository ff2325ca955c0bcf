"""Settings of a Spark session that hold for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from pyspark.sql import SparkSession

PLAN_ONCE = {"spark.sql.adaptive.enabled": "false"}
"""Where nothing is shuffled, or partitions are as many as stages say and nothing is joined: planning anew
after each shuffle finds nothing, and costs every query.
"""


@contextlib.contextmanager
def session_settings(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """Change settings, whatever the session was started with; put them back afterwards."""
    before = {key: spark.conf.get(key, None) for key in settings}
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, earlier in before.items():
            if earlier is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, earlier)
