"""What SageMaker's hyperparameter tuning may try before a run trains, and what it may cost.

Ranges are the algorithm's own (SageMaker developer guide, *Tune a Factorization Machines Model*):
``num_factors`` and the ways of initialising can't be tuned. The objective is measured on the ``test`` channel
of the tuning jobs, which holds validation rows cut from the training rows
(`fmrec.dataset.splits.for_validation`): test rows choose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmrec.deployment import hyperparameters
from fmrec.deployment.defaults import TUNING
from fmrec.errors import SettingsError
from fmrec.execution.quality_gate import direction

LIMITS = {"epochs": (1, 1000), "mini_batch_size": (100, 10_000)}
RATE_LIMITS = (1e-8, 512.0)
NOT_TUNABLE = ("num_factors", "predictor_type", "clip_gradient", "eps", "rescale_grad")

MOST_JOBS, MOST_PARALLEL = 500, 10
"""SageMaker's own limits are 750 jobs and 10 at a time."""

MOST_USD = 1e6

OBJECTIVES = {
    "binary_classifier": (
        "test:binary_classification_cross_entropy",
        "test:binary_classification_accuracy",
        "test:binary_f_beta",
    ),
    "regressor": ("test:rmse",),
}
"""What SageMaker can optimise; the first by default."""


def resolve(given: Any, chosen: Mapping[str, str]) -> dict[str, Any] | None:
    """Check a tuning section and say what a tuning job takes.

    Parameters
    ----------
    given
        None for no tuning, or an object with some of `TUNING`' keys.
    chosen
        The run's hyperparameters; the tuned ones replace theirs.

    Returns
    -------
    dict or None
        ``maximum_jobs``, ``parallel_jobs``, ``maximum_usd``, ``objective`` (``MetricName``, ``Type``),
        ``ranges`` (as ``ParameterRanges``) and ``tuned`` (the hyperparameters that they are of).

    Raises
    ------
    SettingsError
        What was found and what was expected.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise SettingsError(f"tuning is {given!r}: expected a JSON object, or null for none")
    unknown = [key for key in given if key not in TUNING]
    if unknown:
        raise SettingsError(f"tuning.{unknown[0]} is unknown: expected {', '.join(TUNING)}")
    section = TUNING | {key: value for key, value in given.items() if value is not None}
    jobs = _whole_number(section, "maximum_jobs", MOST_JOBS)
    parallel = _whole_number(section, "parallel_jobs", MOST_PARALLEL)
    ranges = _ranges(section["ranges"])
    return {
        "maximum_jobs": jobs,
        "parallel_jobs": min(parallel, jobs),
        "maximum_usd": _dollars(section["maximum_usd"]),
        "objective": _objective(section["objective"], chosen["predictor_type"]),
        "ranges": ranges,
        "tuned": [entry["Name"] for entries in ranges.values() for entry in entries],
    }


def _ranges(found: Any) -> dict[str, list[dict[str, str]]]:
    if not isinstance(found, Mapping) or not found:
        raise SettingsError(f"tuning.ranges is {found!r}: expected an object of names and [lowest, highest]")
    integer: list[dict[str, str]] = []
    continuous: list[dict[str, str]] = []
    for name, between in found.items():
        if name in NOT_TUNABLE or name.endswith("_method"):
            raise SettingsError(
                f"tuning.ranges.{name} can't be tuned by SageMaker: set it in hyperparameters, and tune learning "
                "rates, decays, initial spreads, epochs or mini_batch_size"
            )
        least, most = LIMITS.get(name, RATE_LIMITS)
        whole = name in LIMITS
        kind = "integers" if whole else "numbers"
        if (
            not isinstance(between, list | tuple)
            or len(between) != 2
            or not all(_is_number(each, whole=whole) for each in between)
            or not least <= between[0] < between[1] <= most
        ):
            raise SettingsError(
                f"tuning.ranges.{name} is {between!r}: expected two {kind}, the lower first, from {least:g} to "
                f"{most:g}"
            )
        # That the algorithm has it, and takes both ends.
        for end in between:
            hyperparameters.resolve({"num_factors": 64, "predictor_type": "regressor"}, {name: end})
        entry = {
            "Name": name,
            "MinValue": str(between[0]),
            "MaxValue": str(between[1]),
            "ScalingType": "Auto",
        }
        (integer if whole else continuous).append(entry)
    return {
        **({"IntegerParameterRanges": integer} if integer else {}),
        **({"ContinuousParameterRanges": continuous} if continuous else {}),
    }


def _objective(found: Any, predictor_type: str) -> dict[str, str]:
    allowed = OBJECTIVES[predictor_type]
    metric = allowed[0] if found is None else found
    if metric not in allowed:
        raise SettingsError(
            f"tuning.objective is {metric!r}: expected {' or '.join(allowed)}, which is what a {predictor_type} "
            "measures on the rows that tuning chooses by"
        )
    return {
        "MetricName": metric,
        "Type": "Maximize" if direction(metric) == "higher" else "Minimize",
    }


def _whole_number(section: Mapping[str, Any], key: str, most: int) -> int:
    value = section[key]
    if not _is_number(value, whole=True) or not 1 <= value <= most:
        raise SettingsError(f"tuning.{key} is {value!r}: expected an integer from 1 to {most}")
    return int(value)


def _dollars(value: Any) -> float:
    if not _is_number(value, whole=False) or not 0 < value <= MOST_USD:
        raise SettingsError(
            f"tuning.maximum_usd is {str(value)[:40]}: expected an amount above 0 and at most {MOST_USD:g}"
        )
    return float(value)


def _is_number(value: Any, *, whole: bool) -> bool:
    return not isinstance(value, bool) and isinstance(value, int if whole else int | float)
