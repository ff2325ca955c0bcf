"""Plan a run: for each step the instances to try, those not to, and what it would cost.

The same dictionary is the answer of ``lambda/choose_instances`` and of ``fmrec plan --json``;
every number in it carries the inputs and the formula that it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from fmrec.artifacts.manifest import Manifest
from fmrec.errors import SettingsError
from fmrec.instances import costs, memory, serverless_choice
from fmrec.instances import quotas as names
from fmrec.instances.catalogue import Prices, catalogue, largest, table_prices
from fmrec.instances.chooser import Choice, choose
from fmrec.instances.policy import OPTIONAL_STEPS, STEPS, STEPS_OF_TASK, Policy
from fmrec.instances.quota_increases import increase_for
from fmrec.instances.quotas import Account, Fleet
from fmrec.instances.step_workloads import workload
from fmrec.instances.workloads import Glue, Request, Sizes, Workload

ENDPOINT_STEPS = frozenset({"knn_endpoint", "fm_endpoint"})


def plan(
    manifest: Manifest | Sizes,
    hyperparameters: Mapping[str, Any],
    serving: Mapping[str, Any],
    policy: Policy | Mapping[str, Any],
    account: Account | None = None,
    prices: Prices | None = None,
    *,
    task: str = "recommend",
    tuning: Mapping[str, Any] | None = None,
    evaluation: bool = False,
    ensemble: int = 1,
    glue: Glue | None = None,
) -> dict[str, Any]:
    """Choose instances for every step and estimate the cost.

    Parameters
    ----------
    hyperparameters
        SageMaker's Factorization Machines hyperparameters; strings or numbers. ``num_factors``,
        ``mini_batch_size`` and ``epochs`` matter here.
    serving
        ``recommendations_per_user``; ``neighbours`` asked for each user; ``endpoint`` false when no
        endpoint is wanted; ``endpoint_names``: step → name of the endpoint that it creates or
        updates, whose fleet then needs room next to the new one; ``scaling``: ``minimum_instances`` and
        ``maximum_instances`` of endpoints whose number of instances follows their calls; ``serverless``
        (`fmrec.instances.serverless`): endpoints without instances.
    account
        None means that nothing is known of quotas and use.
    prices
        None means the built-in dated table.
    task
        ``recommend`` or ``predict-rating``: which steps the run takes, and what it costs.
    tuning
        ``maximum_jobs`` and ``parallel_jobs``: adds the step ``fm_tuning``; with ``most_factors``, the step
        ``fm_trials`` in its place: trials that are compared by ranking. None means no tuning.
    evaluation
        Adds the step ``evaluation``, a processing job that ranks every item for every user.
    ensemble
        Models that are trained for one index. Their training jobs run at the same time where the quotas have
        room, and otherwise as many of them as there is room for.
    glue
        The encoding job's workers; None means the deployed default.

    Returns
    -------
    dict
        ``{"steps": {step: {"needed", "needs", "candidates", "rejected", "no_candidate",
        "waiting_can_help", "quota_increase"}}, "cost", "notes", "sizes"}``.
        Types outside the policy's families are not listed.
        ``no_candidate`` is null, or the sentence that says why a step has no candidate and what to do.
        ``fm_trials`` also has ``seconds``: how long one training works (``training``), and starts, ends
        and downloads (``fixed``), which is what trials are sized by.
        ``waiting_can_help``: some type would be a candidate if nothing else ran in the account.
        ``quota_increase`` is null, or what to ask of Service Quotas so that the best type which only
        a quota keeps out becomes a candidate.

    Raises
    ------
    SettingsError
        A hyperparameter, serving setting or policy that is out of range.
    """
    if task not in STEPS_OF_TASK:
        raise SettingsError(f"task is {task!r}: expected {' or '.join(map(repr, STEPS_OF_TASK))}")
    sizes = manifest if isinstance(manifest, Sizes) else Sizes.from_manifest(manifest)
    policy = policy if isinstance(policy, Policy) else Policy.from_mapping(policy)
    account = account or Account()
    fleets = _fleets(serving, account)
    request = Request(sizes, hyperparameters, serving, policy, tuning or {}, fleets, ensemble, glue or Glue())
    prices = prices or table_prices()
    steps: dict[str, Any] = {}
    chosen: dict[str, tuple[Workload, Choice]] = {}
    optional = _optional(tuning, evaluation)
    taken = {*STEPS_OF_TASK[task], *optional}
    if serving.get("endpoint", True) is False:
        taken -= ENDPOINT_STEPS
    if not sizes.test_rows:
        taken -= {"fm_transform"}
    for step in (*STEPS, *optional):
        work, choice = _choose(workload(step, request), account, prices, policy)
        chosen[step] = work, choice
        steps[step] = {
            "needed": step in taken,
            "needs": needs(work),
            "candidates": [candidate.to_json() for candidate in choice.candidates],
            "rejected": [r.to_json() for r in choice.rejected if r.reason != "family"],
            "no_candidate": None if choice.candidates else _why_none(work, choice, request),
            "waiting_can_help": any(r.waiting_can_help for r in choice.rejected),
            "quota_increase": _increase(work, choice, account),
        }
    if "fm_trials" in chosen:
        training, fixed = costs.training_seconds(request, chosen["fm_trials"][0])
        steps["fm_trials"]["seconds"] = {"training": round(training, 3), "fixed": round(fixed, 3)}
    needed = {step: pair for step, pair in chosen.items() if steps[step]["needed"]}
    return {
        "sizes": asdict(sizes),
        "steps": steps,
        "cost": costs.estimate(request, needed, prices),
        "notes": list(account.notes),
        "neighbours": request.neighbours,
    }


def _choose(work: Workload, account: Account, prices: Prices, policy: Policy) -> tuple[Workload, Choice]:
    """Choose instances for a step.

    As many models of an ensemble, or trials, are trained at a time as quotas allow, and an endpoint that
    scales starts with fewer instances than it has now where there is no room for as many next to them.
    """
    if work.serverless is not None:
        return work, serverless_choice.choose(work, work.serverless, account.quotas)
    while True:
        choice = choose(work, catalogue(), account.quotas, account.usage, prices, policy)
        smaller = None if choice.candidates else _smaller(work)
        if smaller is None:
            return work, choice
        work = smaller


def _smaller(work: Workload) -> Workload | None:
    """The same work by one model or instance fewer at a time, where a step may do with less."""
    if work.step in {"fm_training", "fm_trials"} and work.parallel_jobs > 1:
        return replace(work, parallel_jobs=work.parallel_jobs - 1)
    if work.scaling is not None and work.instance_count > work.scaling.minimum:
        return replace(work, instance_count=work.instance_count - 1)
    return None


def _fleets(serving: Mapping[str, Any], account: Account) -> dict[str, Fleet]:
    names_of_steps = serving.get("endpoint_names") or {}
    return {step: account.fleets[name] for step, name in names_of_steps.items() if name in account.fleets}


def _optional(tuning: Mapping[str, Any] | None, evaluation: bool) -> list[str]:
    by_ranking = tuning is not None and "most_factors" in tuning
    wanted = {
        "fm_tuning": tuning is not None and not by_ranking,
        "fm_trials": by_ranking,
        "evaluation": evaluation,
    }
    return [step for step in OPTIONAL_STEPS if wanted[step]]


def _increase(work: Workload, choice: Choice, account: Account) -> dict[str, Any] | None:
    first = next((r for r in choice.rejected if r.quota is not None and r.limit is not None), None)
    if first is None or first.quota is None or first.limit is None:
        return None
    return increase_for(
        first.quota,
        limit=first.limit,
        used=first.used,
        wanted=work.instances if first.wanted is None else first.wanted,
        codes=account.codes,
        region=account.region,
        partition=account.partition,
        waiting_can_help=first.waiting_can_help,
    ).to_json()


def needs(work: Workload) -> dict[str, Any]:
    """Write down what a step needs, with the terms of each sum."""
    workers = (1 if work.serverless else 2) if work.memory.per_worker else 0
    return {
        "call": work.call,
        "instance_count": work.instance_count,
        "parallel_jobs": work.parallel_jobs,
        "memory_gib": round(work.memory.gib_with(workers), 2),
        "volume_size_gb": work.volume.size_gb if work.volume.settable else None,
        "disk_gb": work.volume.size_gb,
        "inputs": {**work.inputs, "instance_count": work.instance_count},
        "memory": work.memory.to_json(),
        "volume": work.volume.to_json(),
        "serverless_memory_mb": memory.serverless_memory_mb(work.memory) if work.call == "hosting" else None,
        "quotas": [
            names.type_quota(work.call, "<type>", work.spot),
            names.account_quota(work.call, work.spot),
        ]
        if work.serverless is None
        else [quota for quota, _ in serverless_choice.quotas_of(work)],
        "notes": list(work.notes),
    }


def _why_none(work: Workload, choice: Choice, request: Request) -> str:
    if work.impossible is not None:
        return f"{work.step}: {work.impossible}"
    if work.serverless is not None:
        return f"{work.step}: {choice.rejected[0].why}"
    reasons = {rejected.reason for rejected in choice.rejected}
    by_quota = [rejected for rejected in choice.rejected if rejected.reason == "quota"]
    if by_quota:
        waiting = next((r for r in by_quota if r.waiting_can_help), None)
        first = waiting or by_quota[0]
        hint = (
            "it can be used again when what runs now has ended"
            if waiting
            else "request an increase of that quota"
        )
        return f"{work.step}: no type has a free quota; the first choice was refused: {first.why}; {hint}"
    if "price" in reasons:
        first = next(r for r in choice.rejected if r.reason == "price")
        return f"{work.step}: no type that fits is within the policy's price: {first.why}"
    if "volume" in reasons:
        return f"{work.step}: {next(r for r in choice.rejected if r.reason == 'volume').why}"
    return _too_large(work, request)


def _too_large(work: Workload, request: Request) -> str:
    sizes, policy, num_factors = request.sizes, request.policy, request.num_factors
    fixed = policy.instance_types.get(work.step)
    allowed = [t for t in catalogue() if (t.name in fixed if fixed else t.family in policy.families)]
    accepted = [t for t in allowed if work.call in t.accepted_by]
    biggest = largest(accepted, work.call)
    if biggest is None:
        return f"{work.step}: the {work.call} call accepts none of the types allowed; allow another family, m5 say"
    roomiest = min(accepted, key=lambda t: work.memory.gib_with(t.vcpu) / t.memory_gib)
    found = (
        f"{work.step}: needs {work.memory.gib_with(roomiest.vcpu):,.1f} GiB on {roomiest.name}, which has "
        f"{roomiest.memory_gib:g}, and no type allowed does better"
    )

    def fits_with(factors: int, scale: float = 1.0) -> bool:
        smaller = replace(
            sizes, feature_dim=max(1, int(sizes.feature_dim * scale)), items=max(1, int(sizes.items * scale))
        )
        hyperparameters = {**request.hyperparameters, "num_factors": factors}
        attempt = workload(work.step, replace(request, sizes=smaller, hyperparameters=hyperparameters))
        return any(attempt.memory.gib_with(t.vcpu) <= t.memory_gib for t in accepted)

    volume = ""
    if work.volume.settable and work.volume.size_gb > work.volume.limit_gb and policy.input_mode == "File":
        volume = f"; with input mode Pipe too, as {work.volume.size_gb:,} GB of disk are more than any volume"
    low, high = 0, num_factors
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits_with(middle) else (low, middle)
    if low >= 1:
        return f"{found}; lower num_factors from {num_factors} to at most {low}{volume}"
    size_name, size = (
        ("feature_dim", sizes.feature_dim) if work.step.startswith("fm") else ("items", sizes.items)
    )
    smaller, larger = 0.0, 1.0
    for _ in range(40):
        middle_scale = (smaller + larger) / 2
        smaller, larger = (
            (middle_scale, larger) if fits_with(num_factors, middle_scale) else (smaller, middle_scale)
        )
    limit = int(size * smaller)
    if limit < 1:
        return f"{found}; allow larger types"
    return (
        f"{found}; even one factor is too much: lower {size_name} from {size:,} to at most {limit:,} for "
        f"num_factors {num_factors}{volume}"
    )
