"""How hyperparameters are tuned before a run trains, and what that may cost.

For top-N lists trials are compared by their ranking of held-out picks (`fmrec.deployment.trials`). With
`ranges`, or with an objective of the container's, SageMaker's hyperparameter tuning does it: its ranges are
the algorithm's own (SageMaker developer guide, *Tune a Factorization Machines Model*), ``num_factors`` and
the ways of initialising can't be tuned, and the objective is measured on the ``test`` channel of the tuning
jobs. Either way that is on validation rows cut from the training rows
(`fmrec.dataset.splits.for_validation`): test rows choose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmrec.deployment import hyperparameters
from fmrec.deployment.defaults import RANKING_OBJECTIVE, TUNING, TUNING_BY_RANKING
from fmrec.deployment.trials import TUNABLE
from fmrec.errors import SettingsError
from fmrec.execution.quality_gate import direction

LIMITS = {"epochs": (1, 1000), "mini_batch_size": (100, 10_000)}
RATE_LIMITS = (1e-8, 512.0)
NOT_TUNABLE = ("num_factors", "predictor_type", "clip_gradient", "eps", "rescale_grad")

MOST_JOBS, MOST_PARALLEL = 500, 10
"""SageMaker's own limits are 750 jobs and 10 at a time."""
MOST_TRIALS = 50
"""The state machine remembers each of them, and a state has room for 256 KiB."""

MOST_USD = 1e6
MOST_MINUTES = 7 * 24 * 60

OBJECTIVES = {
    "binary_classifier": (
        "test:binary_classification_cross_entropy",
        "test:binary_classification_accuracy",
        "test:binary_f_beta",
    ),
    "regressor": ("test:rmse",),
}
"""What SageMaker can optimise; the first by default."""


def resolve(given: Any, chosen: Mapping[str, str], *, lists: bool = False) -> dict[str, Any] | None:
    """Check a tuning section and say what tuning takes.

    Parameters
    ----------
    given
        None for no tuning, or an object with some of the keys of `TUNING` or of `TUNING_BY_RANKING`.
    chosen
        The run's hyperparameters that settings and input give; SageMaker's tuning replaces the ones that it
        tunes, trials leave them as they are.
    lists
        Whether the run makes top-N lists, which can be ranked.

    Returns
    -------
    dict or None
        ``maximum_jobs``, ``parallel_jobs``, ``maximum_usd``, ``objective`` (``MetricName``, ``Type``). Of
        trials also ``maximum_minutes``; of SageMaker's tuning ``ranges`` (as ``ParameterRanges``) and
        ``tuned`` (the hyperparameters that they are of).

    Raises
    ------
    SettingsError
        What was found and what was expected.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise SettingsError(f"tuning is {given!r}: expected a JSON object, or null for none")
    unknown = [key for key in given if key not in TUNING | TUNING_BY_RANKING]
    if unknown:
        raise SettingsError(
            f"tuning.{unknown[0]} is unknown: expected {', '.join(TUNING | TUNING_BY_RANKING)}"
        )
    own = {key: value for key, value in given.items() if value is not None}
    if by_ranking(own, chosen, lists=lists):
        return _trials(own, chosen, lists=lists)
    section = {**TUNING, **own}
    if "maximum_minutes" in section:
        raise SettingsError(
            f"tuning.maximum_minutes is {section['maximum_minutes']!r}: expected only with the objective {RANKING_OBJECTIVE}; "
            "SageMaker's tuning is held by maximum_usd"
        )
    ranges = _ranges(section["ranges"])
    return _limits(section) | {
        "objective": _objective(section["objective"], chosen["predictor_type"]),
        "ranges": ranges,
        "tuned": [entry["Name"] for entries in ranges.values() for entry in entries],
    }


def by_ranking(own: Mapping[str, Any], chosen: Mapping[str, str], *, lists: bool) -> bool:
    """Whether trials are compared by ranking: as asked, and by default where there are lists to rank."""
    if own.get("objective") is not None:
        return bool(own["objective"] == RANKING_OBJECTIVE)
    return "ranges" not in own and lists and _why_no_trials(chosen) is None


def for_task(deployed: Any, *, lists: bool) -> Any:
    """A deployment's section as it holds for a task: what is for lists doesn't hold for others."""
    if lists or not isinstance(deployed, Mapping):
        return deployed
    return {
        key: value
        for key, value in deployed.items()
        if key != "maximum_minutes" and not (key == "objective" and value == RANKING_OBJECTIVE)
    }


def _trials(own: Mapping[str, Any], chosen: Mapping[str, str], *, lists: bool) -> dict[str, Any]:
    if not lists:
        raise SettingsError(
            f"tuning.objective is {RANKING_OBJECTIVE!r}, but the run makes no lists that could be ranked: expected "
            f"{' or '.join(OBJECTIVES[chosen['predictor_type']])}"
        )
    why = _why_no_trials(chosen)
    if why is not None:
        raise SettingsError(f"tuning.objective is {RANKING_OBJECTIVE!r}, but {why}")
    if "ranges" in own:
        raise SettingsError(
            f"tuning.ranges is {own['ranges']!r}, but the objective is {RANKING_OBJECTIVE!r}: trials start from the run's own "
            "hyperparameters and need no ranges; leave out one of them"
        )
    section = {**TUNING_BY_RANKING, **own}
    return _limits(section, MOST_TRIALS) | {
        "maximum_minutes": _whole_number(section, "maximum_minutes", MOST_MINUTES),
        "objective": {"MetricName": RANKING_OBJECTIVE, "Type": "Maximize"},
    }


def _why_no_trials(chosen: Mapping[str, str]) -> str | None:
    """Why nothing could be tried by ranking; None where something can."""
    if chosen["predictor_type"] != "binary_classifier":
        return (
            f"hyperparameters.predictor_type is {chosen['predictor_type']!r}: trials start from what the data's "
            "shape gives, which is for a binary_classifier; give tuning.ranges"
        )
    if all(name in chosen for name in TUNABLE):
        return (
            f"settings and input give all of {', '.join(TUNABLE)}, and what is given is not changed: leave out those "
            "that trials may choose"
        )
    return None


def _limits(section: Mapping[str, Any], most_jobs: int = MOST_JOBS) -> dict[str, Any]:
    jobs = _whole_number(section, "maximum_jobs", most_jobs)
    parallel = _whole_number(section, "parallel_jobs", MOST_PARALLEL)
    return {
        "maximum_jobs": jobs,
        "parallel_jobs": min(parallel, jobs),
        "maximum_usd": _dollars(section["maximum_usd"]),
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
