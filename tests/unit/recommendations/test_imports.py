import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "fmrec.execution.quality_gate",
        "fmrec.ranking.evaluation_step",
        "fmrec.recommendations.publish",
        "fmrec.recommendations.knn_smoke_test",
        "fmrec.recommendations.cold_start",
        "fmrec.commands.recommend",
    ],
)
def test_lambdas_need_neither_scipy_nor_pandas_nor_spark(module: Any) -> None:
    program = (
        f"import sys; sys.modules.update(scipy=None, pandas=None, pyspark=None, numba=None); import {module}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
