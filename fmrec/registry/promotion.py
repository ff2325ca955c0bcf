"""Which model ``{"promote": …}`` or ``{"rollback": true}`` is about, and whether it can still be served.

A promoted model is not trained or judged again: its embeddings are there, so that the workflow goes on with
the k-NN index. What has been deleted by age since (the setting ``retention.intermediate_days``) can't be
served, and is known before anything is paid for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from fmrec.artifacts import layout
from fmrec.artifacts.manifest import Manifest
from fmrec.dataset.names import DEFAULT, check_name
from fmrec.errors import InputError
from fmrec.execution import execution_input
from fmrec.execution.data_bucket import DataBucket
from fmrec.registry import champion, model_record, packages
from fmrec.registry.champion import Champion
from fmrec.registry.model_record import ModelRecord
from fmrec.storage import object_store

KEYS = ("promote", "rollback")
WITH = ("name", "serving")
"""What else such an input may have."""
TASK = "recommend"
LIST = "`fmrec models` lists those that there are"


class Versions(Protocol):
    """Of `fmrec.registry.model_registry.ModelRegistry`, what is asked here."""

    def describe(self, arn: str) -> dict[str, Any] | None: ...


def is_wanted(given: Any) -> bool:
    """Whether an execution's input asks for a promotion."""
    return isinstance(given, Mapping) and bool(set(given) & set(KEYS))


def resolve(
    run: str,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    bucket: DataBucket,
    groups: str,
    registry: Versions,
) -> dict[str, Any]:
    """Find the model, check that it can be served, and say what the workflow needs of it.

    Parameters
    ----------
    run
        The execution's name.
    given
        Its input: ``promote`` (a run's name, a version's number or ARN) or ``rollback`` (true), and
        optionally ``name`` (the data set's; by default the deployed one's) and ``serving``.
    defaults
        The deployed ``serving``, whole, and ``dataset``.
    bucket
        The data bucket.
    groups
        What the ARNs of the deployment's model package groups begin with, as
        ``arn:…:model-package-group/fmrec``.
    registry
        Where versions are looked up.

    Returns
    -------
    dict
        As `fmrec.execution.execution_input.resolve` answers, and under ``promotion``: ``kind``, ``run``,
        ``model_version``, ``model_uri``, ``model_package``, ``embeddings_uri`` (the folder),
        ``embeddings``, ``metrics``, ``verdict``, ``approval`` (its new description), ``previous`` (for
        a rollback, the record of the champion before that one; otherwise None), ``replaces`` (for a rollback,
        the execution whose champion it takes away; otherwise None).

    Raises
    ------
    InputError
        What was asked for, what was found, what to do.
    """
    execution_input.check_name(run)
    kind = _kind(given)
    own = {} if given.get("serving") is None else given["serving"]
    root, name = bucket.root, given.get("name")
    dataset_name = check_name(defaults["dataset"].get("name") or DEFAULT if name is None else name)
    group = packages.group_name(groups, TASK, dataset_name)
    previous = replaces = None
    if kind == "rollback":
        serving, before = _champion_before(root, dataset_name)
        wanted, previous, replaces = _of_run(root, before.run), before.previous, serving.execution_arn
    else:
        wanted = _asked_for(given["promote"], root, group, registry)
    if wanted.task != TASK or wanted.embeddings_uri is None:
        raise InputError(
            f"the model of run {wanted.run} was trained for {wanted.task!r}: expected one of {TASK!r}, because "
            f"only these make lists; {LIST}"
        )
    embeddings = _embeddings(wanted, wanted.embeddings_uri)
    trained_on = Manifest.from_json(object_store.read_bytes(wanted.manifest_uri)).dataset_name
    if trained_on != dataset_name:
        raise InputError(
            f"the model of run {wanted.run} was trained on the data set {trained_on!r}, not on {dataset_name!r}: add "
            f'"name": "{trained_on}" to the input'
        )
    further = embeddings.pop("co_occurrence") or {}
    of_models = int(embeddings["dim"]) - 1 - int(further.get("factors", 0))
    arn = str(wanted.model_package_arn)
    if registry.describe(arn) is None:
        raise InputError(f"the model package {arn} of run {wanted.run} has been deleted; {LIST}")
    return {
        "run": run,
        "task": wanted.task,
        "thresholds": {},
        "dataset": None,
        "dataset_name": dataset_name,
        "encoded": wanted.manifest_uri.rsplit("/", 2)[1],
        "hyperparameters": wanted.hyperparameters,
        "serving": _serving(wanted, defaults["serving"], own, float(further.get("weight", 0)), bucket),
        "tuning": None,
        # Who promotes has chosen what serves.
        "replace_catalogue": True,
        # The index has the factors of every model, those of co-occurrence and one linear weight.
        "ensemble": max(1, of_models // int(wanted.hyperparameters["num_factors"])),
        "drift_limits": {},
        "promotion": {
            "kind": kind,
            "run": wanted.run,
            "model_version": wanted.model_version,
            "model_uri": wanted.model_uri,
            "model_package": {
                "group": group.rpartition("/")[2],
                "version": packages.version_of(arn),
                "arn": arn,
                "status": "Approved",
                "record_uri": model_record.place(root, wanted.run),
            },
            "embeddings_uri": wanted.embeddings_uri.removesuffix(layout.EMBEDDINGS_DOCUMENT),
            "embeddings": embeddings,
            "metrics": wanted.metrics,
            "verdict": {"passed": True, "sentence": _sentence(kind, wanted)},
            "approval": packages.one_line(_approval(kind, run, wanted)),
            "previous": previous,
            "replaces": replaces,
        },
    }


def _kind(given: Mapping[str, Any]) -> str:
    kinds = [key for key in KEYS if key in given]
    others = [key for key in given if key not in (*KEYS, *WITH)]
    if len(kinds) > 1 or others:
        raise InputError(
            f"the execution input has {', '.join(map(repr, given))}: with {kinds[0]!r} expected nothing else but "
            "'name' and 'serving', because no model is trained"
        )
    if kinds == ["rollback"] and given["rollback"] is not True:
        raise InputError(f"rollback is {given['rollback']!r}: expected true, or leave it out")
    return kinds[0]


def _asked_for(asked: Any, root: str, group: str, registry: Versions) -> ModelRecord:
    """The record of a run, or of a version by its number or ARN."""
    if isinstance(asked, int) and not isinstance(asked, bool):
        asked = str(asked)
    if not isinstance(asked, str) or not asked:
        raise InputError(
            f"promote is {asked!r}: expected the name of a run, or the number or the ARN of a model package"
        )
    versions = group.replace(":model-package-group/", ":model-package/") + "/"
    if asked.isdecimal():
        return _of_version(f"{versions}{int(asked)}", registry)
    if asked.startswith("arn:"):
        if not asked.startswith(versions) or not asked.removeprefix(versions).isdecimal():
            raise InputError(
                f"promote is {asked!r}: expected a version of {group}, {versions}<number>; {LIST}"
            )
        return _of_version(asked, registry)
    if not execution_input.RUN_NAME.fullmatch(asked):
        raise InputError(
            f"promote is {asked!r}: expected the name of a run, or the number or the ARN of a model package"
        )
    return _of_run(root, asked)


def _of_run(root: str, run: str) -> ModelRecord:
    uri = model_record.place(root, run)
    if not object_store.is_listed(uri):
        raise InputError(
            f"there is no model of run {run!r}: {uri}, which a run writes when its model has been judged, is not "
            f"there; {LIST}"
        )
    return model_record.read(uri)


def _of_version(arn: str, registry: Versions) -> ModelRecord:
    package = registry.describe(arn)
    if package is None:
        raise InputError(f"there is no model package {arn}; {LIST}")
    uri = package.get("CustomerMetadataProperties", {}).get(packages.RECORD)
    if uri is None:
        raise InputError(
            f"the model package {arn} was not registered by a run: expected the metadata "
            f"{packages.RECORD!r}, which says what serving it needs; {LIST}"
        )
    return model_record.read(uri)


def _serving(
    wanted: ModelRecord, deployed: Mapping[str, Any], own: Any, co_occurrence: float, bucket: DataBucket
) -> dict[str, Any]:
    """How the model is served: lists as long as they were, but by today's rules, and the endpoint as
    deployed.

    An item that was denied since must not come back with an older model. ``co_occurrence`` is part of the
    vectors that are there.
    """
    if isinstance(own, Mapping) and own.get("co_occurrence") not in (None, co_occurrence):
        raise InputError(
            f"serving.co_occurrence is {own['co_occurrence']!r}, but the vectors of run {wanted.run} were exported with "
            f"{co_occurrence:g}: leave it out, or train again"
        )
    kept = {key: wanted.serving[key] for key in ("recommendations_per_user", "exclude_seen")}
    kept["co_occurrence"] = co_occurrence
    # How many neighbours are needed depends on the rest, so a change there leaves that to the plan again.
    same = not own and deployed["filters"] == wanted.serving["filters"]
    neighbours = {"neighbours": wanted.serving["neighbours"] if same else deployed["neighbours"]}
    return execution_input.serving(deployed, kept | neighbours, own, bucket=bucket)


def _champion_before(root: str, dataset_name: str) -> tuple[Champion, Champion]:
    """The champion that serves, and the one before it."""
    serving = champion.recorded(champion.place(root, dataset_name))
    if serving is None:
        raise InputError("nothing serves yet, so there is nothing to go back from; start a run")
    if not serving.previous:
        raise InputError(
            f"the model of run {serving.run} serves, and no champion before it is recorded: there is nothing to "
            f"go back to; {LIST}, and `fmrec promote` serves one"
        )
    before = champion.recorded(serving.previous)
    if before is None:
        raise InputError(
            f"the record of the champion before, {serving.previous}, has been deleted; {LIST}, and "
            "`fmrec promote` serves one"
        )
    return serving, before


def _embeddings(wanted: ModelRecord, uri: str) -> dict[str, Any]:
    """What export_embeddings answered then, if all that it wrote is still there."""
    folder, encoded = uri.rsplit("/", 1)[0], wanted.manifest_uri.rsplit("/", 1)[0]
    stored = {found.uri for place in (folder, encoded) for found in object_store.list_objects(place)}
    for needed in (uri, wanted.manifest_uri):
        if needed not in stored:
            raise _gone(wanted, needed)
    document = json.loads(object_store.read_bytes(uri))
    parts = [part["key"] for part in document["item_parts"] + document["query_parts"]]
    parts += [part["offsets_key"] for part in document["query_parts"]]
    beside = document.get("co_occurrence")
    parts += [beside["pick_weights_key"]] if beside else []
    for part in (object_store.join(folder, key) for key in parts):
        if part not in stored:
            raise _gone(wanted, part)
    for kind in ("feature_index", "seen"):
        if not any(found.startswith(f"{encoded}/{kind}/") for found in stored):
            raise _gone(wanted, f"{encoded}/{kind}/")
    return {
        "uri": uri,
        "dim": document["dim"],
        "users": document["users"],
        "items": document["items"],
        "co_occurrence": beside,
        "query_parts": len(document["query_parts"]),
    }


def _gone(wanted: ModelRecord, uri: str) -> InputError:
    return InputError(
        f"the model of run {wanted.run} can't be served again: {uri} is not there (encodings and embeddings are "
        "deleted at the age that the setting retention.intermediate_days says); promote a later one, or "
        "train again"
    )


def _sentence(kind: str, wanted: ModelRecord) -> str:
    how = "Rolled back to" if kind == "rollback" else "Promoted by hand:"
    return f"{how} the model of run {wanted.run}. When it was judged: {wanted.verdict}"


def _approval(kind: str, run: str, wanted: ModelRecord) -> str:
    how = "Rolled back to" if kind == "rollback" else "Promoted"
    judged = "passed the gate" if wanted.passed else "was rejected by the gate"
    return f"{how} by hand, by the execution {run}. It {judged}: {wanted.verdict}"
