"""The workflow's input: what a person may say when starting an execution, over the deployed defaults.

Everything is optional (docs/contracts.md, *The execution input*). It is checked when the execution
starts, so that a wrong key ends it with a sentence before anything is paid for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fmrec.artifacts import layout
from fmrec.dataset import Dataset
from fmrec.dataset.labels import check_predictor
from fmrec.dataset.left_out_share import MAXIMUM_SHARE
from fmrec.dataset.names import check_name as check_dataset_name
from fmrec.dataset.section import is_number, shown
from fmrec.deployment import drift_limits, hyperparameters
from fmrec.deployment.defaults import SERVING, TASK, TASKS, required
from fmrec.errors import InputError, SettingsError
from fmrec.execution import tuning
from fmrec.execution.data_bucket import DataBucket
from fmrec.instances.serverless import Serverless
from fmrec.recommendations.neighbours import MAXIMUM_K
from fmrec.recommendations.rule_document import check_rules, check_segments

KEYS = (
    *("task", "name", "dataset", "encoded", "hyperparameters", "serving", "tuning", "replace_catalogue"),
    *("ensemble", "left_out_users", "drift", "started_by"),
)
RUN_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,39}")
"""SageMaker's job names begin with the run's, so it may have what they may have."""

MAXIMUM_RECOMMENDATIONS = 1000
"""A user's item in DynamoDB may have 400 KB."""

MAXIMUM_ENSEMBLE = 10
"""A version in SageMaker Model Registry names at most 15 artifacts, and more models add little."""
MAXIMUM_CO_OCCURRENCE = 10
"""More is what goes with what alone."""
DRIFT = "an object with warn and stop"


def resolve(run: str, given: Any, defaults: Mapping[str, Any], bucket: DataBucket) -> dict[str, Any]:
    """Check an execution's name and input and fill in the deployed defaults.

    Parameters
    ----------
    run
        The execution's name.
    given
        The execution's input.
    defaults
        The deployed ``task``, ``tasks`` (name → ``label``, ``hyperparameters``, ``thresholds``), ``dataset``,
        ``serving``, ``tuning``, ``ensemble`` and ``left_out_users`` (a share, which becomes part of the
        ``label`` of ``dataset``).
    bucket
        Where the input may name documents, encodings and lists.

    Returns
    -------
    dict
        ``run``, ``task``, ``thresholds`` (the task's; none for another kind of predictor than the task's),
        ``dataset_name``, ``dataset`` (a document with every default spelled out), ``encoded`` (the run whose
        encoding is to be used, then ``dataset`` is None; or None), ``hyperparameters`` (strings, as SageMaker
        takes them; for lists without those that `fmrec.deployment.shape_rule` chooses by the data),
        ``serving``, ``replace_catalogue``, ``promotion`` (None: that is `fmrec.registry.promotion`'s),
        ``tuning`` (`fmrec.execution.tuning.resolve`'s, or None), ``ensemble``
        (how many models are trained for one index), ``drift_limits``
        (`fmrec.deployment.drift_limits.limits`).

    Raises
    ------
    InputError, SettingsError
        What was found and what was expected.
    """
    check_name(run)
    if not isinstance(given, Mapping):
        raise InputError(f"the execution input is {given!r}: expected a JSON object, such as {{}}")
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise InputError(
            f"the execution input has {', '.join(map(repr, unknown))}: expected only {', '.join(KEYS)}, "
            "each of them optional, or else promote or rollback"
        )
    _of_kind(given, "started_by", str, "what started the run, in words", None)
    name = _of_kind(given, "task", str, "a task's name", defaults["task"])
    if name not in TASKS:
        raise InputError(f"task is {name!r}: expected {' or '.join(map(repr, TASKS))}")
    task = defaults["tasks"][name]
    usual = task["hyperparameters"]
    changes = _of_kind(given, "hyperparameters", Mapping, "a JSON object of names and values", {})
    chosen = hyperparameters.resolve(usual, changes, required=required(name))
    own = _of_kind(given, "serving", Mapping, "a JSON object", {})
    resolved = {
        "run": run,
        "task": name,
        # No metric of the one kind of predictor is reported by the other.
        "thresholds": task["thresholds"] if chosen["predictor_type"] == usual["predictor_type"] else {},
        "hyperparameters": chosen,
        "serving": serving({"exclude_seen": name == "recommend"}, defaults["serving"], own, bucket=bucket),
        "promotion": None,
        "replace_catalogue": _of_kind(given, "replace_catalogue", bool, "true or false", False),
        "tuning": _tuning(given, defaults.get("tuning"), chosen, name),
        "ensemble": _ensemble(given, defaults.get("ensemble", 1), name),
        "drift_limits": drift_limits.limits(
            defaults.get("drift"), _of_kind(given, "drift", Mapping, DRIFT, {})
        ),
    }
    encoded = _encoded(given)
    if encoded is not None:
        if given.get("left_out_users") is not None:
            raise InputError(
                "the execution input has both 'left_out_users' and 'encoded': who is left out of training is decided "
                "when the data is encoded; leave out one of them"
            )
        manifest = bucket.read_manifest(encoded)
        check_predictor(manifest.dataset["label"]["mode"], chosen["predictor_type"])
        dataset, dataset_name = None, manifest.dataset_name
        _check_models(manifest.dataset["label"], resolved["ensemble"], encoded)
        if given.get("name") not in (None, dataset_name):
            raise InputError(
                f"name is {given['name']!r}, but the run {encoded} has encoded the data set {dataset_name!r}: leave "
                "out 'name', or encode the data under the other name"
            )
    else:
        dataset = _dataset(given, defaults["dataset"], task["label"], bucket)
        check_predictor(dataset["label"]["mode"], chosen["predictor_type"])
        if resolved["ensemble"] > 1:
            dataset = {**dataset, "label": _for_models(dataset["label"], resolved["ensemble"])}
        dataset = {
            **dataset,
            "label": _leaving_out(given, defaults.get("left_out_users", 0), name, dataset["label"]),
        }
        dataset_name = dataset["name"]
    return {**resolved, "dataset": dataset, "dataset_name": dataset_name, "encoded": encoded}


def _of_kind(given: Mapping[str, Any], key: str, kind: Any, expected: str, default: Any) -> Any:
    """A key's value; only null stands for the default."""
    value = given.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise InputError(f"{key} is {value!r}: expected {expected}")
    return value


def check_name(run: str) -> None:
    """Raise InputError unless jobs can be named after an execution."""
    if not RUN_NAME.fullmatch(run):
        raise InputError(
            f"the execution is named {run!r}: expected 1 to 40 letters, digits and single hyphens between "
            "them, because SageMaker's job names begin with it; start it again under another name"
        )


def labelled(document: Mapping[str, Any], label: Mapping[str, Any]) -> dict[str, Any]:
    """The data set document with the task's label, unless it has one of its own.

    Without a column of values there is nothing to compare a threshold with, and every event counts.
    """
    if document.get("label"):
        return dict(document)
    own = dict(label)
    interactions = document.get("interactions")
    columns = interactions.get("columns") if isinstance(interactions, Mapping) else None
    if own.get("mode") == "implicit" and isinstance(columns, Mapping) and "value" not in columns:
        own.pop("threshold", None)
    return {**document, "label": own}


def serving(*layers: Mapping[str, Any], bucket: DataBucket | None = None) -> dict[str, Any]:
    """Merge the serving section of settings and input.

    URIs among the business rules are checked against `bucket`, where it is known: settings are read before
    there is one. ``neighbours`` stays None where some are left out and nobody says how many to ask for: that
    depends on the data (`fmrec.recommendations.neighbours.neighbours_to_ask`).

    Raises
    ------
    SettingsError
        An unknown key or a value out of range.
    """
    merged = dict(SERVING)
    for layer in layers:
        if not isinstance(layer, Mapping):
            raise SettingsError(f"serving is {layer!r}: expected a JSON object")
        unknown = [key for key in layer if key not in merged]
        if unknown:
            raise SettingsError(f"serving.{unknown[0]} is unknown: expected {', '.join(merged)}")
        merged |= {key: value for key, value in layer.items() if value is not None}
    serverless = Serverless.of(merged)
    merged["serverless"] = None if serverless is None else serverless.to_document()
    count = _whole_number(merged, "recommendations_per_user", 1, MAXIMUM_RECOMMENDATIONS)
    for key in ("endpoint", "exclude_seen"):
        if not isinstance(merged[key], bool):
            raise SettingsError(f"serving.{key} is {merged[key]!r}: expected true or false")
    weight = merged["co_occurrence"]
    if not is_number(weight) or not 0 <= weight <= MAXIMUM_CO_OCCURRENCE:
        raise SettingsError(
            f"serving.co_occurrence is {shown(weight)}: expected a number from 0 to {MAXIMUM_CO_OCCURRENCE}, how far "
            "scores of what goes with what spread, where the model's own spread by 1"
        )
    rules = merged["filters"]
    check_rules(rules, bucket)
    check_segments(merged["segments"], bucket)
    if merged["neighbours"] is None and not (merged["exclude_seen"] or rules):
        merged["neighbours"] = count
    if merged["neighbours"] is not None:
        _whole_number(merged, "neighbours", count, MAXIMUM_K)
    return merged


def _whole_number(section: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = section[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"serving.{key} is {value!r}: expected an integer from {least} to {most}")
    return value


def _encoded(given: Mapping[str, Any]) -> str | None:
    """The run whose encoding is to be used, if one is named."""
    found = given.get("encoded")
    if found is None:
        return None
    if not isinstance(found, str) or not RUN_NAME.fullmatch(found):
        raise InputError(
            f"encoded is {found!r}: expected the name of the run that encoded the data, which is its folder "
            f"under {layout.ENCODED} in the data bucket"
        )
    if given.get("dataset") is not None:
        raise InputError(
            f"the execution input has both 'dataset' and 'encoded': expected one of them; leave out 'dataset' to "
            f"train on what the run {found} encoded, or 'encoded' to encode anew"
        )
    return found


def _tuning(
    given: Mapping[str, Any], deployed: Any, chosen: Mapping[str, str], task: str
) -> dict[str, Any] | None:
    """What tuning is to try; nothing on what was encoded before, where no validation rows were cut."""
    lists = task == TASK
    wanted = given.get("tuning", tuning.for_task(deployed, lists=lists))
    if given.get("encoded") is None:
        return tuning.resolve(wanted, chosen, lists=lists)
    if given.get("tuning") is not None:
        raise InputError(
            "the execution input has both 'tuning' and 'encoded': tuning needs rows for validation, which are cut "
            "when the data is encoded; leave out 'encoded'"
        )
    return None


def check_ensemble(found: Any, name: str) -> int:
    """Return how many models an index is made of, or raise SettingsError; `name` is what it is called."""
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MAXIMUM_ENSEMBLE:
        raise SettingsError(
            f"{name} is {found!r}: expected an integer from 1 to {MAXIMUM_ENSEMBLE}, the number of models that "
            "are trained for one index"
        )
    return found


def _ensemble(given: Mapping[str, Any], deployed: int, task: str) -> int:
    """How many models are trained; only lists are made of several."""
    found = given.get("ensemble")
    if found is None:
        return deployed if task == "recommend" else 1
    size = check_ensemble(found, "ensemble")
    if size > 1 and task != "recommend":
        raise InputError(
            f"ensemble is {size}, but the task is {task!r}: its endpoint answers with the artifact of one training "
            "job; leave out 'ensemble', or use the task 'recommend'"
        )
    return size


def _for_models(label: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The label with rows for each model: what makes models differ is the negatives that each learns from."""
    if label["mode"] != "implicit":
        raise InputError(
            f"ensemble is {size}, but the data set's label.mode is {label['mode']!r}: expected 'implicit', because "
            "models differ by the negatives that are sampled for each; leave out 'ensemble'"
        )
    return {**label, "models": size}


def _leaving_out(
    given: Mapping[str, Any], deployed: float, task: str, label: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The label with the share of users to leave out; only those who get lists can be folded in."""
    found = given.get("left_out_users")
    for_lists = task == "recommend" and label["mode"] == "implicit"
    if found is None:
        if "left_out_users" in label:
            return label
        share = deployed if for_lists else 0.0
    elif not is_number(found) or not 0 <= found <= MAXIMUM_SHARE:
        raise SettingsError(
            f"left_out_users is {shown(found)}: expected a number from 0 to {MAXIMUM_SHARE}, the share of the users "
            "who are left out of training to judge lists for new users by"
        )
    elif found and not for_lists:
        raise InputError(
            f"left_out_users is {found!r}, but the task is {task!r} and label.mode {label['mode']!r}: users are "
            "folded into models of the task 'recommend' with the mode 'implicit' only; leave out 'left_out_users'"
        )
    else:
        share = float(found)
    own = {key: value for key, value in label.items() if key != "left_out_users"}
    return {**own, "left_out_users": share} if share else own


def _check_models(label: Mapping[str, Any], size: int, encoded: str) -> None:
    there = int(label.get("models", 1))
    if size > there:
        raise InputError(
            f"ensemble is {size}, but the run {encoded} encoded rows for {there} "
            f"{'model' if there == 1 else 'models'}: leave out 'encoded' to encode for as many, or lower 'ensemble'"
        )


def _dataset(
    given: Mapping[str, Any], deployed: Any, label: Mapping[str, Any], bucket: DataBucket
) -> dict[str, Any]:
    """The data set document, read if need be and whole, with the name that the input may give it."""
    found = given.get("dataset")
    if isinstance(found, str):
        found = bucket.read_dataset(bucket.check_uri(found, "dataset", layout.RAW))
    elif found is None:
        found = deployed
    if not isinstance(found, Mapping):
        raise SettingsError(
            f"dataset is {found!r}: expected a data set document, or the s3:// URI of one in the data bucket"
        )
    name = given.get("name")
    if name is not None:
        check_dataset_name(name)
        if given.get("dataset") is not None and found.get("name") not in (None, name):
            raise InputError(
                f"name is {name!r}, but the data set document has the name {found['name']!r}: leave out one of them"
            )
        found = {**found, "name": name}
    document = Dataset.from_document(labelled(found, label)).to_document()
    bucket.check_paths(document)
    return document
