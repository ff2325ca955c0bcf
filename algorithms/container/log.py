"""Log lines in the exact form of SageMaker's built-in algorithms.

SageMaker takes a training job's metrics out of these lines by regular expressions, and so do many
users: ``#quality_metric``, ``#progress_metric``, ``#throughput_metric``, ``#test_score``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def say(line: str) -> None:
    """Write one line to standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def info(text: str, level: str = "INFO") -> None:
    """One line with time (UTC) and thread, as the images write it."""
    say(_stamped(text, level))


def last_words(text: str) -> None:
    """Write one line from a signal's handler, which may have come in the middle of another line's writing."""
    os.write(1, f"{_stamped(text, 'INFO')}\n".encode())


def _stamped(text: str, level: str) -> str:
    stamp = datetime.now(UTC).strftime("%m/%d/%Y %H:%M:%S")
    return f"[{stamp} {level} {threading.get_ident()}] {text}"


def quality(host: str, scope: str, values: Mapping[str, float]) -> None:
    """Report metrics.

    Parameters
    ----------
    scope
        What the values cover: ``epoch=0, batch=0 train``, ``epoch=0, train``, ``train`` or ``test``.
    values
        Metric name, with its direction in angle brackets (``rmse <loss>``), to value.
    """
    for name, value in values.items():
        info(f"#quality_metric: host={host}, {scope} {name}={value!r}")


def test_scores(host: str, values: Mapping[str, float]) -> None:
    """Report the test channel's metrics, in both forms that the images print."""
    for name, value in values.items():
        info(f"#test_score ({host}) : ('{name.split(' ')[0]}', {value!r})")
    quality(host, "test", values)


def progress(host: str, share: float, unit: str = "epochs") -> None:
    """Report how much is done; ``share`` is in [0, 1]."""
    info(f"#progress_metric: host={host}, completed {round(100 * share, 6)} % of {unit}")


def throughput(host: str, records_per_second: float) -> None:
    """Report training speed."""
    info(f"#throughput_metric: host={host}, train throughput={records_per_second!r} records/second")


def metrics(
    algorithm: str, host: str, start: float, end: float, values: Mapping[str, float], **dimensions: Any
) -> None:
    """Write a ``#metrics`` line; times are seconds since the epoch."""
    document = {
        "StartTime": start,
        "EndTime": end,
        "Dimensions": {"Algorithm": algorithm, "Host": host, "Operation": "training", **dimensions},
        "Metrics": {
            name: {"sum": float(value), "count": 1, "min": value, "max": value}
            for name, value in values.items()
        },
    }
    say("#metrics " + json.dumps(document))
