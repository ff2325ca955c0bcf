"""An environment of its own with an independent implementation of the metrics: trec_eval itself."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ORACLE = "pytrec-eval-terrier==0.5.11"
ORACLES = Path(__file__).resolve().parents[3] / "build/oracles"

SCRIPT = """
import json, sys
import pytrec_eval
out = []
for case in json.load(sys.stdin):
    k = case["k"]
    measures = {f"{m}.{k}" for m in ("ndcg_cut", "recall", "P", "success", "map_cut")}
    qrel = {str(u): {f"d{i}": 1 for i in items} for u, items in enumerate(case["relevant"])}
    run = {str(u): {f"d{i}": float(-r) for r, i in enumerate(items)} for u, items in enumerate(case["ranked"])}
    answer = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate(run)
    out.append([answer[str(u)] for u in range(len(case["relevant"]))])
json.dump(out, sys.stdout)
"""


@pytest.fixture(scope="session")
def trec_eval() -> Callable[[list[dict[str, Any]]], list[list[dict[str, float]]]]:
    """Judge cases ``{"k", "relevant": [[item]], "ranked": [[item]]}`` with trec_eval."""
    folder = ORACLES / ORACLE.replace("==", "-")
    python = folder / "bin/python"
    if not python.exists():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run(
            [*uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, making], check=True
        )
        install = [
            *uv,
            "pip",
            "install",
            "--system-certs",
            "--quiet",
            "--python",
            str(making / "bin/python"),
            ORACLE,
        ]
        subprocess.run(install, check=True)
        making.rename(folder)

    def judge(cases: list[dict[str, Any]]) -> list[list[dict[str, float]]]:
        ran = subprocess.run(
            [python, "-c", SCRIPT], input=json.dumps(cases), capture_output=True, text=True, check=True
        )
        answer: list[list[dict[str, float]]] = json.loads(ran.stdout)
        return answer

    return judge
