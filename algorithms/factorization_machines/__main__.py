"""``python -m algorithms.factorization_machines train|serve --root DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from algorithms.container.environment import Environment
from algorithms.container.program import main


def _train(environment: Environment) -> None:
    from algorithms.factorization_machines.train import train_job

    train_job(environment)


def _serve(root: Path, host: str, port: int) -> None:
    from algorithms.factorization_machines.serve import serve_model

    serve_model(root, host, port)


if __name__ == "__main__":
    sys.exit(main("factorization_machines", _train, _serve))
