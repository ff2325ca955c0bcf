"""SageMaker's Factorization Machines hyperparameters and their defaults.

Source: SageMaker developer guide, "Factorization Machines hyperparameters"; the names with a leading
underscore and the ones undocumented come from the image's default-conf.json, as its logs show it.
"""

from __future__ import annotations

from algorithms.container.hyperparameters import (
    Hyperparameter,
    choice,
    flag,
    non_negative,
    number,
    positive,
    positive_integer,
    text_value,
)

CLASSIFIER = "binary_classifier"
REGRESSOR = "regressor"

TEST_METRICS = {
    CLASSIFIER: (
        "test:binary_classification_accuracy",
        "test:binary_classification_cross_entropy",
        "test:binary_f_beta",
    ),
    REGRESSOR: ("test:rmse", "test:mse", "test:absolute_loss"),
}

GROUPS = ("bias", "linear", "factors")
_LEARNING_RATES = {"bias": "0.1", "linear": "0.001", "factors": "0.0001"}
_WEIGHT_DECAYS = {"bias": "0.01", "linear": "0.001", "factors": "0.00001"}
_SIGMAS = {"bias": "0.01", "linear": "0.01", "factors": "0.001"}

SCHEMA = (
    Hyperparameter("feature_dim", positive_integer, required=True),
    Hyperparameter("num_factors", positive_integer, required=True),
    Hyperparameter("predictor_type", choice(CLASSIFIER, REGRESSOR), required=True),
    Hyperparameter("epochs", positive_integer, "1"),
    Hyperparameter("mini_batch_size", positive_integer, "1000"),
    *(Hyperparameter(f"{group}_lr", non_negative, _LEARNING_RATES[group]) for group in GROUPS),
    *(Hyperparameter(f"{group}_wd", non_negative, _WEIGHT_DECAYS[group]) for group in GROUPS),
    *(
        Hyperparameter(f"{group}_init_method", choice("uniform", "normal", "constant"), "normal")
        for group in GROUPS
    ),
    *(Hyperparameter(f"{group}_init_sigma", non_negative, _SIGMAS[group]) for group in GROUPS),
    *(Hyperparameter(f"{group}_init_scale", non_negative) for group in GROUPS),
    *(Hyperparameter(f"{group}_init_value", number) for group in GROUPS),
    Hyperparameter("clip_gradient", positive),
    Hyperparameter("eps", positive),
    Hyperparameter("rescale_grad", number),
    Hyperparameter("use_bias", flag, "true"),
    Hyperparameter("use_linear", flag, "true"),
    Hyperparameter("batch_metrics_publish_interval", positive_integer, "500"),
    Hyperparameter("_tuning_objective_metric", text_value, ""),
    # What follows steers the image's inside, and nothing here: taken and shown, as the image does.
    Hyperparameter("_data_format", text_value, "record"),
    Hyperparameter("_kvstore", text_value, "auto"),
    Hyperparameter("_learning_rate", positive, "1.0"),
    Hyperparameter("_log_level", text_value, "info"),
    Hyperparameter("_num_gpus", text_value, "auto"),
    Hyperparameter("_num_kv_servers", text_value, "auto"),
    Hyperparameter("_optimizer", choice("adam"), "adam"),
    Hyperparameter("_use_full_symbolic", flag, "true"),
    Hyperparameter("_wd", non_negative, "1.0"),
)
