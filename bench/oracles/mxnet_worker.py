"""MXNet 1.9.1, run in its own environment: loads, scores and saves models and NDArray lists."""

from __future__ import annotations

from typing import Any

import mxnet as mx  # type: ignore[import-not-found]  # in this worker's environment only
import numpy as np

from bench.oracles.worker import serve


def answer(question: dict[str, Any]) -> dict[str, Any]:
    asked = str(question["ask"])
    if asked == "score":
        return score(str(question["prefix"]), question)
    if asked == "save checkpoint":
        return save_checkpoint(str(question["prefix"]), question)
    if asked == "save list":
        return save_list(str(question["path"]), question)
    if asked == "load list":
        arrays = mx.nd.load(str(question["path"]))
        return {name: array.asnumpy() for name, array in arrays.items()}
    raise ValueError(asked)


def score(prefix: str, question: dict[str, Any]) -> dict[str, Any]:
    """Load by the recipe that users of SageMaker's artifacts run, and score rows."""
    module = mx.module.Module.load(prefix, 0, False, label_names=["out_label"])
    parameters = {name: array.asnumpy() for name, array in module._arg_params.items()}
    rows = csr(question)
    module.bind([("data", rows.shape)], [("out_label", (rows.shape[0], 1))], for_training=False)
    labels = mx.nd.zeros((rows.shape[0], 1))
    module.forward(mx.io.DataBatch([rows], [labels]), is_train=False)
    return {"scores": module.get_outputs()[0].asnumpy().ravel(), **parameters}


def csr(question: dict[str, Any]) -> Any:
    return mx.nd.sparse.csr_matrix(
        (question["data"], question["indices"], question["indptr"]), shape=tuple(question["shape"].tolist())
    )


def save_checkpoint(prefix: str, question: dict[str, Any]) -> dict[str, Any]:
    """Train a step on the rows with lazy Adam on row_sparse weights, as SageMaker's container does,
    and save.
    """
    rows, factors = csr(question), int(question["num_factors"])
    symbol = factorization_machine(rows.shape[1], factors, str(question["head"]))
    module = mx.module.Module(symbol, ["data"], ["out_label"])
    module.bind([("data", rows.shape)], [("out_label", (rows.shape[0], 1))])
    module.init_params()
    module.init_optimizer(optimizer="adam", optimizer_params={"learning_rate": 0.1})
    labels = mx.nd.array(question["labels"].reshape(-1, 1))
    module.forward_backward(mx.io.DataBatch([rows], [labels]))
    module.update()
    parameters, auxiliary = module.get_params()
    mx.nd.waitall()  # nd.save writes a stored shape of 0 for a sparse array that is still being computed
    mx.model.save_checkpoint(prefix, 0, symbol, parameters, auxiliary)
    return {f"stype {name}": np.array(array.stype) for name, array in parameters.items()}


def factorization_machine(feature_dim: int, num_factors: int, head: str) -> Any:
    """MXNet's own sparse factorization machine example."""
    normal = mx.init.Normal(0.5)
    x = mx.symbol.Variable("data", stype="csr")
    v = mx.symbol.Variable("v", shape=(feature_dim, num_factors), stype="row_sparse", init=normal)
    w1 = mx.symbol.Variable("w1_weight", shape=(feature_dim, 1), stype="row_sparse", init=normal)
    w0 = mx.symbol.Variable("w0_weight", shape=(1,), init=normal)
    linear = mx.symbol.broadcast_add(mx.symbol.dot(x, w1), w0)
    squares = 0.5 * mx.symbol.square(mx.symbol.dot(x, v))
    own = mx.symbol.dot(mx.symbol.square(x), mx.symbol._internal._square_sum(v, axis=1, keepdims=True))
    y = mx.symbol.sum(mx.symbol.Concat(linear, squares, dim=1), axis=1, keepdims=True) + -0.5 * own
    return getattr(mx.symbol, head)(y, mx.symbol.Variable("out_label"), name="out")


def save_list(path: str, question: dict[str, Any]) -> dict[str, Any]:
    arrays = {}
    for name, array in question.items():
        kind, _, own = name.partition(" ")
        if own and kind in {"default", "row_sparse", "csr"}:
            arrays[own] = mx.nd.array(array, dtype=array.dtype).tostype(kind)
    mx.nd.waitall()  # nd.save writes a stored shape of 0 for a sparse array that is still being computed
    mx.nd.save(path, arrays)
    return {}


if __name__ == "__main__":
    serve(answer)
