"""What a deployment uses where its settings say nothing: the one place of these defaults.

Settings (`stacks.settings`) start from them and hand them to the functions in the state machine; `fmrec plan`
plans with them. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fmrec.deployment import hyperparameters

DATASET: dict[str, Any] = {
    "interactions": {
        "path": "interactions/",
        "format": "csv",
        "header": True,
        "delimiter": ",",
        "columns": {"user": "user_id", "item": "item_id", "value": "rating", "timestamp": "timestamp"},
    },
    "split": {"method": "leave-first-n", "n": 10},
}

TaskName = Literal["recommend", "predict-rating"]

SETTINGS = (
    *("name", "task", "tasks", "tuning", "dataset", "instances", "serving", "glue", "functions", "retention"),
    *("ensemble", "left_out_users", "simple_models", "drift", "start", "watch", "notification_email"),
    "api",
)
"""The names of all settings (`stacks.settings.Settings`)."""

TASK: TaskName = "recommend"

TASKS: dict[TaskName, dict[str, Any]] = {
    "recommend": {
        # Negatives, copies and all other hyperparameters depend on the data (`fmrec.deployment.shape_rule`).
        "label": {"mode": "implicit", "threshold": 4},
        "hyperparameters": {
            "predictor_type": "binary_classifier",
            "bias_lr": 0.003,
            "bias_wd": 0.0,
            "factors_init_sigma": 0.01,
        },
        # The gate itself asks for more: to beat popularity, and not to lose against what serves now.
        "thresholds": {"ndcg_at_10": {"minimum": 0.02}},
    },
    "predict-rating": {
        "label": {"mode": "binary", "threshold": 4},
        "hyperparameters": {
            "num_factors": 64,
            "predictor_type": "binary_classifier",
            "epochs": 26,
            "mini_batch_size": 1000,
            "bias_lr": 0.01,
            "linear_lr": 0.003,
            "factors_lr": 0.003,
            "factors_init_sigma": 0.005,
            "linear_wd": 1e-5,
            "factors_wd": 1.2e-4,
        },
        # Guessing the majority has a cross entropy of 0.69.
        "thresholds": {
            "binary_classification_accuracy": 0.65,
            "binary_classification_cross_entropy": 0.65,
            "binary_f_beta": 0.6,
        },
    },
}
"""Those of predict-rating were chosen on validation rows cut from MovieLens 100k's training rows, never on
its test rows (bench/choose_hyperparameters.py)."""

SERVING: dict[str, Any] = {
    "recommendations_per_user": 10,
    "neighbours": None,
    # Chosen on validation rows (docs/quality.md); the model's own scores spread by 1.
    "co_occurrence": 0.3,
    "exclude_seen": False,
    "filters": {},
    "segments": None,
    "endpoint": True,
    "serverless": None,
}
"""What a person may say about serving, and the defaults (docs/settings.md)."""

SERVING_OF_A_DEPLOYMENT = ("update", "scaling", "idle_hours")
"""What only the settings say about serving, not an execution's input."""

TUNING: dict[str, Any] = {
    "maximum_jobs": 10,
    "parallel_jobs": 1,
    "maximum_usd": 10.0,
    "ranges": {
        "factors_lr": [0.0003, 0.03],
        "linear_lr": [0.0003, 0.03],
        "factors_wd": [1e-7, 0.01],
        "factors_init_sigma": [0.001, 0.1],
    },
    "objective": None,
}
"""What a tuning section may say, and the defaults where SageMaker tunes by what its container measures."""

RANKING_OBJECTIVE = "ndcg_at_10"
"""The objective with which trials are compared by ranking (`fmrec.deployment.trials`)."""

TUNING_BY_RANKING: dict[str, Any] = {
    "maximum_jobs": 12,
    "parallel_jobs": 6,
    "maximum_usd": 10.0,
    "maximum_minutes": 240,
    "objective": RANKING_OBJECTIVE,
}
"""The same for trials that are compared by ranking."""


def required(task: str) -> tuple[str, ...]:
    """Hyperparameters that settings and input must give: for lists, the data's shape gives the others."""
    return ("predictor_type",) if task == TASK else hyperparameters.REQUIRED


def task_section(name: TaskName, given: Any) -> Any:
    """A task's section with its defaults; those of a classifier suit no regressor.

    What is not an object is returned as it is, for the caller to refuse.

    Raises
    ------
    SettingsError
        A hyperparameter that the algorithm doesn't have, or out of range.
    """
    if not isinstance(given, Mapping):
        return given
    defaults, own = TASKS[name], given.get("hyperparameters")
    own = {} if own is None else own
    classifies = not isinstance(own, Mapping) or own.get("predictor_type") in (None, "binary_classifier")
    return {
        **given,
        "label": given.get("label") or defaults["label"],
        "hyperparameters": hyperparameters.resolve(
            defaults["hyperparameters"] if classifies else {"num_factors": 64}, own, required=required(name)
        ),
        "thresholds": given.get("thresholds") or (defaults["thresholds"] if classifies else {}),
    }
