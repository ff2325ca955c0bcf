"""Rounds of trials as the state machine's documents: what it has tried, what comes next, what is best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmrec.deployment import trials
from fmrec.deployment.trials import Budget, Trial
from fmrec.execution.function_contracts import ProposeTrialsEvent


def propose(event: ProposeTrialsEvent) -> dict[str, Any]:
    """The next trials, and the best one so far, as the answer of ``lambda/propose_trials``."""
    tried = [_trial(document) for document in event["trials"]]
    best = trials.choose(tried)
    budget = event["budget"]
    found = trials.propose(
        trials.tunable(event["hyperparameters"], event["free"]),
        tried,
        Budget(
            int(budget["parallel_jobs"]),
            int(budget["maximum_jobs"]),
            budget["training_seconds"],
            budget["fixed_seconds"],
        ),
    )
    return {
        "trials": [
            {"number": trial.number, "round": trial.round, "hyperparameters": dict(trial.values)}
            for trial in found
        ],
        "best": None
        if best is None
        else next(document for document in event["trials"] if document["number"] == best.number),
    }


def _trial(document: Mapping[str, Any]) -> Trial:
    return Trial(
        document["number"],
        document["round"],
        document["hyperparameters"],
        document.get("ndcg"),
        document.get("usd"),
    )
