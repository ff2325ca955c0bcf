#!/usr/bin/env python3
"""Compile the loops of the codec and of factorization machines, as a small training needs them.

numba keeps what it has compiled next to the sources. Where nothing is kept, processes that start together,
as trainings and tests do, would each compile all of it, which takes ten seconds of a processor.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from algorithms.container.environment import Channel, Environment
from algorithms.factorization_machines.train import train_job
from fmrec.recordio import compiled, decode, encode_csr

ROWS, WIDTH = 64, 16
HYPERPARAMETERS = {
    "feature_dim": str(WIDTH),
    "num_factors": "2",
    "predictor_type": "binary_classifier",
    "epochs": "1",
    "mini_batch_size": "16",
}


def main() -> None:
    os.environ[compiled.SETTING] = "1"
    starts, values = np.arange(0, 2 * ROWS + 1, 2), np.ones(2 * ROWS, np.float32)
    columns = np.stack([np.arange(ROWS) % 8, 8 + np.arange(ROWS) % 7], axis=1).ravel()
    labels = (np.arange(ROWS) % 2).astype(np.float32)
    # Loops are compiled for each type of columns.
    records = [
        encode_csr(starts, columns.astype(kind), values, WIDTH, labels) for kind in (np.int32, np.int64)
    ]
    decode(bytes(records[0]))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        (data / "records").write_bytes(bytes(records[0]))
        channels = {name: Channel(name, data, None) for name in ("train", "test")}
        train_job(Environment(Path(folder), HYPERPARAMETERS, channels, "algo-1"))


if __name__ == "__main__":
    main()
