"""``fmrec plan`` and ``fmrec quotas``: what a run would use and cost, before anything is spent."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from fmrec.artifacts.manifest import Manifest
from fmrec.commands.plan_settings import PlanSettings, planned_tuning, read_settings
from fmrec.dataset.labels import Label
from fmrec.deployment import shape_rule, trials
from fmrec.deployment.defaults import RANKING_OBJECTIVE, SERVING, TASK
from fmrec.deployment.shape_rule import Shape
from fmrec.errors import InputError, SettingsError
from fmrec.execution.execution_input import check_ensemble
from fmrec.instances import text_tables
from fmrec.instances.catalogue import Prices, table_prices
from fmrec.instances.plan import plan
from fmrec.instances.policy import STEPS_OF_TASK, DataDistribution, InputMode, Policy
from fmrec.instances.quota_check import against_account
from fmrec.instances.quotas import Account
from fmrec.instances.quotas_file import read_quotas_file
from fmrec.instances.workloads import (
    Request,
    Sizes,
)

EXIT_NO_CANDIDATE = 3

EXAMPLE_SIZES = {"rows": 1_000_000, "users": 80_000, "items": 20_000}
"""What ``fmrec quotas`` assumes when nothing is said: data for which the smallest types do."""


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code: 0 when every step has an instance to try, 3 when one has none, 2 for unusable input."
    )
    _add_common(parser)


def add_quotas_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code: 0 when the quotas leave every step an instance, 3 when they don't, 2 for unusable input. "
        "With neither --quotas nor --profile the default credentials are used."
    )
    _add_common(parser)


def run_plan(arguments: argparse.Namespace) -> int:
    """Print the plan; return 0, or 3 when a needed step has no candidate.

    Raises
    ------
    InputError
        Sizes, settings or files that can't be used.
    """
    request, notes = _request(arguments, sizes_required=True)
    account, prices = _account(arguments, live=arguments.account or arguments.profile is not None)
    document = _planned(request, account, prices, arguments)
    document["notes"] += notes
    if arguments.json:
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        print(text_tables.plan_text(document, request, show_all=arguments.all))
    return _exit_code(document)


def run_quotas(arguments: argparse.Namespace) -> int:
    """Print each step's quotas next to what the account has; return 0, or 3 as ``run_plan`` does."""
    request, _ = _request(arguments, sizes_required=False)
    account, prices = _account(arguments, live=arguments.quotas is None)
    document = _planned(request, account, prices, arguments)
    needed = [step for step, choice in document["steps"].items() if choice["needed"]]
    rows = against_account(request, account, prices, needed)
    if arguments.json:
        answer = {
            "region": account.region,
            "quotas": [row.to_json() for row in rows],
            "notes": list(account.notes),
        }
        print(json.dumps(answer, indent=2, allow_nan=False))
    else:
        print(text_tables.quotas_text(rows, document, account, show_all=arguments.all))
    return _exit_code(document)


def _planned(
    request: Request, account: Account, prices: Prices, arguments: argparse.Namespace
) -> dict[str, Any]:
    planned = plan(
        request.sizes,
        request.hyperparameters,
        request.serving,
        request.policy,
        account,
        prices,
        task=arguments.task,
        tuning=request.tuning or None,
        evaluation=arguments.evaluation,
        ensemble=request.ensemble,
        glue=request.glue,
    )
    return planned | {
        "hyperparameters": {name: str(value) for name, value in request.hyperparameters.items()}
    }


def _exit_code(document: Mapping[str, Any]) -> int:
    steps = document["steps"].values()
    return EXIT_NO_CANDIDATE if any(s["needed"] and not s["candidates"] for s in steps) else 0


def _add_common(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data", "a manifest, or sizes guessed before there is one")
    data.add_argument(
        "--manifest", metavar="FILE", help="manifest.json of an encoding run; a path or s3:// URI"
    )
    data.add_argument(
        "--rows",
        type=int,
        help="interactions, with sampled negatives and every copy of each; a tenth counts as test",
    )
    data.add_argument("--users", type=int)
    data.add_argument("--items", type=int)
    data.add_argument("--features", type=int, help="columns in all (default: users + items)")
    data.add_argument("--nonzeros", type=float, default=2.0, help="non-zeros a row (default: 2)")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--task",
        choices=list(STEPS_OF_TASK),
        help=f"what the model is for (default: as in --settings, or {TASK})",
    )
    model.add_argument("--factors", type=int, help="num_factors (default: as deployed, for the task)")
    model.add_argument(
        "--ensemble", type=int, metavar="S", help="models trained for one index (default: as deployed)"
    )
    model.add_argument("--epochs", type=int, help="(default: as deployed, for the task)")
    model.add_argument("--mini-batch-size", type=int, help="(default: as deployed, for the task)")
    model.add_argument(
        "--recommendations",
        type=int,
        help=f"recommendations per user (default: as deployed, or {SERVING['recommendations_per_user']})",
    )
    model.add_argument(
        "--no-endpoint", action="store_true", help="batch only: the endpoint steps aren't needed"
    )
    model.add_argument("--tuning-jobs", type=int, metavar="N", help="also plan hyperparameter tuning, N jobs")
    model.add_argument(
        "--parallel-jobs", type=int, metavar="N", help="tuning jobs at the same time (default: as deployed)"
    )
    model.add_argument(
        "--evaluation", action="store_true", help="also plan a processing job that evaluates ranking"
    )
    account = parser.add_argument_group("account")
    source = account.add_mutually_exclusive_group()
    source.add_argument(
        "--quotas",
        metavar="FILE",
        help="output of aws service-quotas list-service-quotas, or JSON: quota name to value; missing is unknown",
    )
    source.add_argument("--profile", help="AWS profile whose quotas, use and prices are read")
    source.add_argument(
        "--account", action="store_true", help="read the account of the credentials in the environment"
    )
    account.add_argument("--region", help="Region (default: the profile's)")
    policy = parser.add_argument_group(
        "policy", "as in settings' instances.policy; these override --settings"
    )
    policy.add_argument("--settings", metavar="FILE", help="cdk.json, whose context key 'fmrec' is read")
    policy.add_argument("--families", help="allowed families, the preferred first, as in m5,c5,r5")
    policy.add_argument("--maximum-usd-per-hour", type=float, metavar="USD", help="limit for one step")
    policy.add_argument("--spot", action="store_true", help="managed spot for training")
    policy.add_argument("--input-mode", choices=get_args(InputMode), help="TrainingInputMode of FM training")
    policy.add_argument("--data-distribution", choices=get_args(DataDistribution))
    policy.add_argument(
        "--instance-type", action="append", default=[], metavar="STEP=TYPE[,TYPE]", help="fix a step's types"
    )
    policy.add_argument("--instance-count", action="append", default=[], metavar="STEP=COUNT")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, formulas included")
    parser.add_argument("--all", action="store_true", help="list every candidate and every rejected type")


def _request(arguments: argparse.Namespace, *, sizes_required: bool) -> tuple[Request, list[str]]:
    """What is planned, and what to know of its sizes."""
    path = arguments.settings
    settings = read_settings(None if path is None else _read(path), str(path), arguments.task)
    sizes, shape = _sizes(arguments, settings.label, required=sizes_required)
    notes = [] if arguments.manifest is not None else _notes(settings.label, shape.copies)
    hyperparameters: dict[str, Any] = dict(settings.hyperparameters)
    for name, value in (
        ("num_factors", arguments.factors),
        ("epochs", arguments.epochs),
        ("mini_batch_size", arguments.mini_batch_size),
    ):
        if value is not None:
            hyperparameters[name] = value
    by_shape = shape_rule.choose(hyperparameters, shape, settings.task)
    if by_shape is not None:
        hyperparameters |= by_shape["hyperparameters"]
    tuned = _tuning(arguments, settings)
    if tuned.pop("objective", None) == RANKING_OBJECTIVE:
        own = trials.tunable(hyperparameters, [] if by_shape is None else by_shape["hyperparameters"])
        tuned["most_factors"] = trials.most_factors(own, int(hyperparameters["num_factors"]))
    serving = dict(settings.serving)
    if arguments.recommendations is not None:
        serving["recommendations_per_user"] = arguments.recommendations
    if arguments.no_endpoint:
        serving["endpoint"] = False
    arguments.task = settings.task
    request = Request(
        sizes,
        hyperparameters,
        serving,
        _policy(arguments, settings.policy),
        tuned,
        ensemble=_ensemble(arguments, settings),
        glue=settings.glue,
    )
    return request, notes


def _notes(label: Label, copies: int) -> list[str]:
    full = shape_rule.full_weight_picks(label)
    if full is None or copies == 1:
        return []
    return [
        f"the train rows are an upper bound, each pick in all of the {copies} copies: for users with more "
        f"than {full} picks fewer are written, and more epochs make up for them, so that training takes "
        "about as long; the manifest of an encoding run has the rows that were written"
    ]


def _ensemble(arguments: argparse.Namespace, settings: PlanSettings) -> int:
    if arguments.ensemble is None:
        return settings.ensemble
    return check_ensemble(arguments.ensemble, "--ensemble")


def _sizes(arguments: argparse.Namespace, label: Label, *, required: bool) -> tuple[Sizes, Shape]:
    """The data's sizes, and its shape as the rule for hyperparameters sees it."""
    given = {name: getattr(arguments, name) for name in ("rows", "users", "items")}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if arguments.manifest is not None:
        if len(missing) < len(given) or arguments.features is not None:
            raise InputError("--manifest has the sizes: leave --rows, --users, --items and --features out")
        manifest = Manifest.from_json(_read(arguments.manifest))
        return Sizes.from_manifest(manifest), Shape.of(manifest)
    if len(missing) == len(given) and arguments.features is None and not required:
        given = dict(EXAMPLE_SIZES)
    elif missing:
        raise InputError(
            f"{', '.join(missing)} missing: give --manifest FILE, or --rows, --users and --items"
        )
    sampled = shape_rule.sampling_behind(label, given["rows"])
    sizes = Sizes.guess(
        **given,
        feature_dim=arguments.features,
        nnz_per_row=arguments.nonzeros,
        rows_per_interaction=sampled.copies * (1 + sampled.negatives_per_positive),
    )
    picks = sizes.rows if sizes.interactions is None else sizes.interactions
    return sizes, Shape(max(1, picks), sizes.users, sizes.items, **asdict(sampled))


def _tuning(arguments: argparse.Namespace, settings: PlanSettings) -> dict[str, Any]:
    if arguments.tuning_jobs is None:
        if arguments.parallel_jobs is not None:
            raise SettingsError("--parallel-jobs is the tuning's: give --tuning-jobs too")
        return dict(settings.tuning or {})
    own = {"maximum_jobs": arguments.tuning_jobs, "parallel_jobs": arguments.parallel_jobs}
    return planned_tuning(own, settings.hyperparameters, settings.task) or {}


def _policy(arguments: argparse.Namespace, settings: Mapping[str, Any]) -> Policy:
    document = dict(settings)
    if arguments.families:
        document["families"] = [f.strip() for f in arguments.families.split(",") if f.strip()]
    if arguments.maximum_usd_per_hour is not None:
        document["maximum_usd_per_hour"] = arguments.maximum_usd_per_hour
    if arguments.spot:
        document["spot_training"] = True
    for name in ("input_mode", "data_distribution"):
        if getattr(arguments, name) is not None:
            document[name] = getattr(arguments, name)
    types = {step: text.split(",") for step, text in _pairs(arguments.instance_type, "--instance-type")}
    counts = {}
    for step, text in _pairs(arguments.instance_count, "--instance-count"):
        if not text.isdigit():
            raise SettingsError(f"--instance-count {step}={text}: expected an integer")
        counts[step] = int(text)
    document["instance_types"] = {**(document.get("instance_types") or {}), **types}
    document["instance_counts"] = {**(document.get("instance_counts") or {}), **counts}
    return Policy.from_mapping(document)


def _pairs(texts: list[str], option: str) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    for step, equals, value in pairs:
        if not (step and equals and value):
            raise SettingsError(f"{option} {step}{equals}{value}: expected STEP=VALUE, as in fm_training=…")
    return [(step, value) for step, _, value in pairs]


def _read(location: str) -> bytes:
    if location.startswith("s3://"):
        from fmrec.storage import object_store

        return object_store.read_bytes(location)
    try:
        return Path(location).read_bytes()
    except OSError as error:
        raise InputError(f"{location} can't be read: {error.strerror}") from error


def _account(arguments: argparse.Namespace, *, live: bool) -> tuple[Account, Prices]:
    if arguments.quotas is not None:
        account = read_quotas_file(_read(arguments.quotas), arguments.region)
        return account, _table(account.region)
    if not live:
        return Account(region=arguments.region), _table(arguments.region)
    from fmrec.instances.account import connect, observe

    clients = connect(arguments.profile, arguments.region)
    if sys.stderr.isatty():
        print("Reading quotas, use and prices …", file=sys.stderr)
    return observe(clients, with_defaults=True)


def _table(region: str | None) -> Prices:
    return table_prices(region) if region else table_prices()
