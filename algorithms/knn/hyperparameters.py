"""SageMaker's k-NN hyperparameters and their defaults.

Source: SageMaker developer guide, "k-NN hyperparameters"; names with a leading underscore come from the
image's default-conf.json, as its logs show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from algorithms.container.hyperparameters import (
    Hyperparameter,
    choice,
    flag,
    positive_integer,
    positive_integer_or_auto,
    resolve,
    text_value,
)
from fmrec.errors import SettingsError

CLASSIFIER = "classifier"
REGRESSOR = "regressor"

FLAT = "faiss.Flat"
IVF_FLAT = "faiss.IVFFlat"
IVF_PQ = "faiss.IVFPQ"
L2 = "L2"
INNER_PRODUCT = "INNER_PRODUCT"
COSINE = "COSINE"

PQ_M = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)

TEST_METRICS = {CLASSIFIER: "test:accuracy", REGRESSOR: "test:mse"}

SCHEMA = (
    Hyperparameter("feature_dim", positive_integer_or_auto, required=True),
    Hyperparameter("k", positive_integer, required=True),
    Hyperparameter("predictor_type", choice(CLASSIFIER, REGRESSOR), required=True),
    Hyperparameter("sample_size", positive_integer, required=True),
    Hyperparameter("dimension_reduction_type", choice("sign", "fjlt")),
    Hyperparameter("dimension_reduction_target", positive_integer),
    Hyperparameter("index_type", choice(FLAT, IVF_FLAT, IVF_PQ), FLAT),
    Hyperparameter("index_metric", choice(L2, INNER_PRODUCT, COSINE), L2),
    Hyperparameter("faiss_index_ivf_nlists", positive_integer_or_auto, "auto"),
    Hyperparameter("faiss_index_pq_m", choice(*map(str, PQ_M))),
    Hyperparameter("mini_batch_size", positive_integer, "5000"),
    Hyperparameter("epochs", positive_integer, "1"),
    Hyperparameter("_faiss_index_nprobe", positive_integer, "5"),
    Hyperparameter("_tuning_objective_metric", text_value, ""),
    # What follows steers the image's inside, and nothing here: taken and shown, as the image does.
    Hyperparameter("_kvstore", text_value, "dist_async"),
    Hyperparameter("_num_kv_servers", text_value, "1"),
    Hyperparameter("_num_gpus", text_value, "auto"),
    Hyperparameter("_log_level", text_value, "info"),
    Hyperparameter("_enable_profiler", flag, "false"),
)


def resolve_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Validated hyperparameters, those that depend on each other included.

    Raises
    ------
    SettingsError
        As ``resolve``; IVFPQ without L2 or without faiss_index_pq_m; a reduction without a target below
        feature_dim, or the other way round.
    """
    settings = resolve(SCHEMA, given)
    if settings["index_type"] == IVF_PQ:
        if settings["index_metric"] != L2:
            raise SettingsError(
                f"index_type {IVF_PQ} supports index_metric L2 only, not {settings['index_metric']}: take "
                f"{IVF_FLAT} or {FLAT}"
            )
        if settings["faiss_index_pq_m"] is None:
            raise SettingsError(f"index_type {IVF_PQ} needs faiss_index_pq_m, one of {list(PQ_M)}")
    reduction, target = settings["dimension_reduction_type"], settings["dimension_reduction_target"]
    if (reduction is None) != (target is None):
        raise SettingsError(
            "dimension_reduction_type and dimension_reduction_target go together: give both or neither"
        )
    width = settings["feature_dim"]
    if target is not None and width is not None and target >= width:
        raise SettingsError(
            f"dimension_reduction_target is {target}, expected less than feature_dim ({width})"
        )
    return settings
