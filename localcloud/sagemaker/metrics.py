"""The metrics that SageMaker attaches to its built-in algorithms, read from the job's log.

AWS doesn't publish the expressions for Factorization Machines; these are inferred from its log lines
in public notebooks. The throughput and progress forms are AWS's own.
"""

from __future__ import annotations

import math
import pathlib
import re
from typing import Any

from localcloud.sagemaker.records import now

_LOG_NAMES = {"binary_f_beta": r"binary_f_\S+"}
_SCORES = ("binary_classification_accuracy", "binary_f_beta", "accuracy")
_LOSSES = ("binary_classification_cross_entropy", "rmse", "mse", "absolute_loss")


def _expressions() -> dict[str, re.Pattern[str]]:
    found = {
        "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
        "train:throughput": r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
    }
    for name in _SCORES + _LOSSES:
        value = f"{_LOG_NAMES.get(name, name)} <{'score' if name in _SCORES else 'loss'}>=(\\S+)"
        found[f"train:{name}"] = rf"#quality_metric: host=\S+, train {value}"
        found[f"train:{name}:epoch"] = rf"#quality_metric: host=\S+, epoch=\d+, train {value}"
        found[f"train:{name}:batch"] = rf"#quality_metric: host=\S+, epoch=\d+, batch=\d+ train {value}"
        found[f"test:{name}"] = rf"#quality_metric: host=\S+, test {value}"
    return {name: re.compile(expression) for name, expression in found.items()}


EXPRESSIONS = _expressions()
"""Metric name → expression whose first group is the value."""


def final_metrics(log: pathlib.Path) -> list[dict[str, Any]]:
    """The last value of every metric in a log, as ``FinalMetricDataList``.

    The log is read line by line; lines without the ``#…_metric:`` mark cost no expression. What isn't a
    finite number is left out, as CloudWatch takes no other.
    """
    texts: dict[str, str] = {}
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if "_metric: host=" not in line:
                continue
            for name, expression in EXPRESSIONS.items():
                match = expression.search(line)
                if match:
                    texts[name] = match[1]
    moment = now()
    return [
        {"MetricName": name, "Value": value, "Timestamp": moment}
        for name, text in texts.items()
        if (value := _finite(text)) is not None
    ]


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
