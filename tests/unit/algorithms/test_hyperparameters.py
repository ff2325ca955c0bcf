"""Hyperparameters are refused in the images' words."""

from __future__ import annotations

import pytest

from algorithms.container.hyperparameters import resolve
from algorithms.factorization_machines.hyperparameters import SCHEMA
from algorithms.knn.hyperparameters import resolve_settings
from fmrec.errors import SettingsError

FM = {"feature_dim": "10", "num_factors": "4", "predictor_type": "binary_classifier"}
KNN = {"feature_dim": "10", "k": "4", "predictor_type": "classifier", "sample_size": "100"}


def test_fm_defaults_are_sagemakers() -> None:
    settings = resolve(SCHEMA, FM)
    assert {name: settings[name] for name in ("feature_dim", "num_factors", "epochs", "mini_batch_size")} == {
        "feature_dim": 10,
        "num_factors": 4,
        "epochs": 1,
        "mini_batch_size": 1000,
    }
    assert [settings[f"{group}_lr"] for group in ("bias", "linear", "factors")] == [0.1, 0.001, 0.0001]
    assert [settings[f"{group}_wd"] for group in ("bias", "linear", "factors")] == [0.01, 0.001, 0.00001]
    assert [settings[f"{group}_init_sigma"] for group in ("bias", "linear", "factors")] == [0.01, 0.01, 0.001]
    assert settings["factors_init_method"] == "normal"
    assert settings["clip_gradient"] is settings["eps"] is settings["rescale_grad"] is None
    assert settings["batch_metrics_publish_interval"] == 500


def test_knn_defaults_are_sagemakers() -> None:
    settings = resolve_settings(KNN)
    assert settings["index_type"] == "faiss.Flat"
    assert settings["index_metric"] == "L2"
    assert settings["mini_batch_size"] == 5000
    assert settings["_faiss_index_nprobe"] == 5
    assert settings["faiss_index_ivf_nlists"] is None
    assert resolve_settings({**KNN, "feature_dim": "auto"})["feature_dim"] is None


def test_numbers_are_taken_like_strings() -> None:
    assert resolve(SCHEMA, {**FM, "epochs": 7, "bias_lr": 0.5})["epochs"] == 7


@pytest.mark.parametrize("text", ["1e-3", "0.001", ".001", "+1E-3", "0.1e-2"])
def test_rates_are_read_in_every_way_to_write_a_number(text: str) -> None:
    assert resolve(SCHEMA, {**FM, "factors_lr": text})["factors_lr"] == 0.001


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factor_lr": "0.1"}, r"Additional hyperparameters are not allowed \('factor_lr' was unexpected\)"),
        ({"a": "1", "b": "2"}, r"\('a', 'b' were unexpected\)"),
        ({"num_factors": "0"}, r"'0' does not match .* num_factors is '0', expected an integer"),
        ({"num_factors": "6.5"}, "'6.5' does not match"),
        ({"epochs": "ten"}, "'ten' does not match"),
        ({"feature_dim": "auto"}, "'auto' does not match"),
        (
            {"predictor_type": "classifier"},
            r"'classifier' is not one of \['binary_classifier', 'regressor'\]",
        ),
        ({"bias_lr": "-0.1"}, "-0.1 is less than the minimum of 0"),
        ({"bias_lr": "nan"}, "'nan' does not match"),
        ({"bias_lr": "1e999"}, "'1e999' does not match"),
        ({"clip_gradient": "0"}, "expected a number greater than 0"),
        ({"factors_init_method": "gaussian"}, "'gaussian' is not one of"),
        ({"use_bias": "yes"}, "expected true or false"),
    ],
)
def test_fm_refuses(change: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolve(SCHEMA, {**FM, **change})


@pytest.mark.parametrize("name", sorted(FM))
def test_fm_requires(name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}' is a required property"):
        resolve(SCHEMA, {key: value for key, value in FM.items() if key != name})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index_metric": "DOT"}, "'DOT' is not one of"),
        ({"index_type": "faiss.IVFPQ", "index_metric": "INNER_PRODUCT"}, "supports index_metric L2 only"),
        ({"index_type": "faiss.IVFPQ"}, "needs faiss_index_pq_m"),
        ({"index_type": "faiss.IVFPQ", "faiss_index_pq_m": "5"}, "'5' is not one of"),
        ({"dimension_reduction_type": "sign"}, "go together"),
        ({"dimension_reduction_target": "5"}, "go together"),
        (
            {"dimension_reduction_type": "sign", "dimension_reduction_target": "10"},
            r"is 10, expected less than feature_dim \(10\)",
        ),
        ({"sample_size": "-1"}, "'-1' does not match"),
    ],
)
def test_knn_refuses(change: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolve_settings({**KNN, **change})
