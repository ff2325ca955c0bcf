"""Which hyperparameters to try on validation rows, one round of training jobs after the other.

The first trial has the run's own values, so that what is chosen is never worse on the validation rows. Each
further trial moves one lever of the best one so far, up or down: pattern search (Hooke and Jeeves, *"Direct
search" solution of numerical and statistical problems*, J. ACM 1961), with as many moves at a time as jobs
may run at the same time. What was moved is what the data's shape gave (`fmrec.deployment.shape_rule`); what
settings or input give stays as it is.

The bound is time: all rounds together take at most as long as `TRAININGS` trainings with the run's own
values, as the plan reckons them, where a round takes as long as its longest job. docs/quality.md says what
such a search finds of what a far larger one does.

All of it is deterministic and pure: the same results propose the same trials.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[str, str]
"""Hyperparameters as SageMaker takes them."""

TRAININGS = 3.0
"""As long as so many trainings all rounds together may take."""
ROUNDING = 1 + 1e-9
"""Sums of seconds are compared with this: a round of the run's own values must fit three times."""


@dataclass(frozen=True)
class Lever:
    """Hyperparameters that are moved together."""

    names: tuple[str, ...]
    factor: float
    integer: bool = False
    least: float = 0.0
    most: float = math.inf

    def moved(self, values: Values, power: float) -> dict[str, str]:
        """The values, the lever's own among them times ``factor`` to the power."""
        return dict(values) | {
            name: self._moved(values[name], power) for name in self.names if name in values
        }

    def _moved(self, value: str, power: float) -> str:
        found = float(value) * self.factor**power
        if self.integer:
            # By one at least: a small number must not round to itself.
            whole = math.ceil(found) if power > 0 else math.floor(found)
            return str(int(min(self.most, max(self.least, whole))))
        return f"{min(self.most, max(self.least, found)):.2g}"


DECAY = Lever(("linear_wd", "factors_wd"), 1.5)
LINEAR_DECAY = Lever(("linear_wd",), 4)
RATE = Lever(("linear_lr", "factors_lr"), 1.5)
EPOCHS = Lever(("epochs",), 4 / 3, integer=True, least=1)
FACTORS = Lever(("num_factors",), 2, integer=True, least=2, most=1000)
MOVES = (
    (DECAY, 1),
    (DECAY, -1),
    (LINEAR_DECAY, 1),
    (RATE, -1),
    (EPOCHS, -1),
    (EPOCHS, 1),
    (FACTORS, 1),
    (RATE, 1),
    (FACTORS, -1),
    (LINEAR_DECAY, -1),
)
"""In the order in which they are tried: what has brought most comes first, of what costs no more time."""

TUNABLE = tuple(dict.fromkeys(name for lever, _ in MOVES for name in lever.names))

STEPS = (1.0, 0.5)
"""How far a lever is moved: by a whole step, and by half a step where whole ones are used up."""
MOST_DOUBLINGS = 2
"""How far num_factors may go in all, which instances must have the memory for."""


@dataclass(frozen=True)
class Trial:
    """A training job on the rows without those of validation; ``ndcg`` None where it brought no model."""

    number: int
    round: int
    values: Values
    """Of all hyperparameters that may be changed."""
    ndcg: float | None = None
    usd: float | None = None


@dataclass(frozen=True)
class Budget:
    """What trials may take.

    ``training_seconds`` and ``fixed_seconds``: how long a job with the run's own values works, and what every
    job takes besides (start, end, download), as the plan reckons them.
    """

    parallel_jobs: int
    maximum_jobs: int
    training_seconds: float
    fixed_seconds: float

    @property
    def seconds(self) -> float:
        return TRAININGS * (self.fixed_seconds + self.training_seconds)


def propose(own: Values, tried: Sequence[Trial], budget: Budget) -> list[Trial]:
    """The next round's trials; none where jobs, time or moves are used up.

    Parameters
    ----------
    own
        The run's own values of those hyperparameters that may be changed.
    tried
        All earlier trials, whatever became of them.
    """
    room = min(budget.parallel_jobs, budget.maximum_jobs - len(tried))
    usual = seconds(own, own, budget)
    left = budget.seconds - sum(
        max(seconds(trial.values, own, budget) for trial in trials)
        for _, trials in itertools.groupby(sorted(tried, key=lambda trial: trial.round), lambda t: t.round)
    )
    # No trial takes the time of a round that is still to come.
    to_come = min(
        math.ceil((budget.maximum_jobs - len(tried)) / budget.parallel_jobs), int(left / usual * ROUNDING)
    )
    longest = (left - max(0, to_come - 1) * usual) * ROUNDING
    best = choose(tried)
    start = own if best is None else best.values
    known = {tuple(sorted(trial.values.items())) for trial in tried}
    found: list[Values] = []
    for values in itertools.chain((own,), _moves(start)):
        key = tuple(sorted(values.items()))
        fits = int(values.get("num_factors", 0)) <= most_factors(own, otherwise=0)
        if fits and key not in known and seconds(values, own, budget) <= longest:
            known.add(key)
            found.append(values)
    return [
        Trial(len(tried) + place, 1 + max((trial.round for trial in tried), default=0), values)
        for place, values in enumerate(found[: max(0, room)], start=1)
    ]


def choose(tried: Sequence[Trial]) -> Trial | None:
    """The trial with the highest NDCG; of equals the cheaper, then the earlier one; or None."""
    judged = [trial for trial in tried if trial.ndcg is not None]
    return min(
        judged,
        key=lambda trial: (-(trial.ndcg or 0.0), math.inf if trial.usd is None else trial.usd, trial.number),
        default=None,
    )


def tunable(hyperparameters: Mapping[str, object], free: Collection[str]) -> dict[str, str]:
    """Of a run's hyperparameters those that may be changed: of `TUNABLE` the free ones."""
    return {name: str(hyperparameters[name]) for name in TUNABLE if name in free and name in hyperparameters}


def most_factors(own: Values, otherwise: int) -> int:
    """The highest num_factors that may be proposed; `otherwise` where they may not be changed."""
    if "num_factors" not in own:
        return otherwise
    return int(FACTORS.moved(own, MOST_DOUBLINGS)["num_factors"])


def seconds(values: Values, own: Values, budget: Budget) -> float:
    """How long a job with these values takes, where one with the run's own takes what the budget says."""
    work = math.prod(
        float(values[name]) / float(own[name]) for name in ("num_factors", "epochs") if name in own
    )
    return budget.fixed_seconds + budget.training_seconds * work


def _moves(start: Values) -> Iterator[Values]:
    for step in STEPS:
        for lever, direction in MOVES:
            yield lever.moved(start, direction * step)
