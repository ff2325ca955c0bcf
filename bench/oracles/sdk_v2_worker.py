"""SageMaker SDK v2's recordIO functions, run in their own environment.

The package's modules are loaded without the package itself, whose import wants all its dependencies.
"""

from __future__ import annotations

import importlib
import io
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from bench.oracles.worker import serve


def serializer() -> Any:
    """Return `sagemaker.serializer_utils`."""
    site = next(Path(entry) for entry in sys.path if (Path(entry) / "sagemaker").is_dir())
    for name in ("sagemaker", "sagemaker.amazon"):
        package = types.ModuleType(name)
        package.__path__ = [str(site.joinpath(*name.split(".")))]
        sys.modules[name] = package
    its_utils = types.ModuleType("sagemaker.utils")
    its_utils.__dict__["DeferredError"] = Exception
    sys.modules["sagemaker.utils"] = its_utils
    return importlib.import_module("sagemaker.serializer_utils")


SDK = serializer()


def answer(question: dict[str, Any]) -> dict[str, Any]:
    asked = str(question["ask"])
    if asked == "write sparse":
        matrix = sparse.csr_matrix(
            (question["data"], question["indices"], question["indptr"]),
            shape=tuple(question["shape"].tolist()),
        )
        return written(SDK.write_spmatrix_to_sparse_tensor, matrix, question.get("labels"))
    if asked == "write dense":
        return written(SDK.write_numpy_to_dense_tensor, question["array"], question.get("labels"))
    if asked == "read labels":
        records = SDK.read_records(io.BytesIO(question["content"].tobytes()))
        assert all(not record.features for record in records)
        return {
            name: np.array([record.label[name].float32_tensor.values for record in records], np.float32)
            for name in records[0].label
        }
    if asked == "time reading":
        start = time.process_time()
        records = SDK.read_records(io.BytesIO(question["content"].tobytes()))
        seconds = time.process_time() - start
        for record in records:
            for entries in (record.features, record.label):
                tensor = entries["values"].float32_tensor
                np.array(tensor.values, np.float32)
                np.array(tensor.keys, np.uint64)
        return {"seconds": np.array(seconds), "seconds to arrays": np.array(time.process_time() - start)}
    raise ValueError(asked)


def written(write: Any, array: Any, labels: Any) -> dict[str, Any]:
    file = io.BytesIO()
    start = time.process_time()
    write(file, array, labels)
    seconds = time.process_time() - start
    return {"content": np.frombuffer(file.getvalue(), np.uint8), "seconds": np.array(seconds)}


if __name__ == "__main__":
    serve(answer)
