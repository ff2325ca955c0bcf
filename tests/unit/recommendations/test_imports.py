import subprocess
import sys

MODULES = (
    "fmrec.execution.quality_gate",
    "fmrec.ranking.evaluation_step",
    "fmrec.recommendations.publish",
    "fmrec.recommendations.knn_smoke_test",
    "fmrec.recommendations.cold_start",
    "fmrec.commands.recommend",
)


def test_lambdas_need_neither_scipy_nor_pandas_nor_spark() -> None:
    program = (
        "import sys; sys.modules.update(scipy=None, pandas=None, pyspark=None, numba=None); "
        f"import {', '.join(MODULES)}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
