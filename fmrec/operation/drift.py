"""Is the data still the data? A run's encoding compared with the one that the champion learned from.

Pure functions over counts. Two measures are population stability indices,

    PSI = Σ (now − before) · ln(now / before)

over the shares of bins before and now (Siddiqi, *Credit Risk Scorecards*, 2006, chapter 9, whose rule of
thumb is: below 0.1 no change to speak of, from 0.25 on a large one). An empty bin counts as half an
interaction, so that the logarithm exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.deployment.drift_limits import LEVELS

POPULARITY_BINS = VALUE_BINS = 10


@dataclass(frozen=True)
class Facts:
    """What is compared of an encoding."""

    run: str
    rows: int
    quarantined: int
    users: int
    items: int
    interactions: int
    """Rows that were good and of a user and an item with enough interactions."""
    picked: float | None
    """Share of positive labels among what users gave a label, without sampled negatives; None where labels
    are no yes and no."""
    values: Mapping[str, int] = field(default_factory=dict)
    """Rows by rating, to two significant digits; empty where labels are yes and no."""
    longest_gap: int | None = None
    """Days in a row without any interaction; None without timestamps."""
    gap_after: str = ""
    """The day before them."""


@dataclass(frozen=True)
class Counts:
    """Interactions per id, before and now, of ids in any order."""

    before: npt.NDArray[np.int64]
    """Of the champion's ids, in the champion's data."""
    now: npt.NDArray[np.int64]
    """Of the same ids in this run's data, 0 for those that are gone."""
    new_ids: int
    new_interactions: int


@dataclass(frozen=True)
class Finding:
    """A limit that was passed."""

    measure: str
    value: float
    limit: float
    level: str
    sentence: str


@dataclass
class Comparison:
    """What was measured, and which limits were passed."""

    before: str = ""
    """The run that encoded what the champion learned from; empty if nothing was compared."""
    measures: dict[str, dict[str, float | None]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    sentence: str = ""
    limits: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """What was compared with limits: measure → ``value``, ``warn`` and ``stop``, None where there is none."""

    @property
    def stopped(self) -> bool:
        return any(finding.level == "stop" for finding in self.findings)

    def to_document(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "stopped": self.stopped,
            "sentence": self.sentence,
            "measures": self.measures,
            "findings": [vars(finding) for finding in self.findings],
            "limits": self.limits,
        }


def psi(before: Sequence[float], now: Sequence[float]) -> float:
    """Population stability index of two histograms over the same bins; 0 where one of them is empty."""
    old, new = np.asarray(before, float), np.asarray(now, float)
    if not old.sum() or not new.sum():
        return 0.0
    used = (old > 0) | (new > 0)
    old, new = old[used], new[used]
    shares = [np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum() for counts in (old, new)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def popularity_psi(items: Counts) -> float:
    """PSI over tenths of the champion's interactions, popular items first, and a bin for new items.

    The bins hold about as many of the champion's interactions each, so that the few popular items, which most
    interactions name, weigh as they should.
    """
    order = np.argsort(-items.before, kind="stable")
    before, now = items.before[order], items.now[order]
    ends = np.cumsum(before)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        return 0.0
    bins = np.minimum((ends - before) * POPULARITY_BINS // total, POPULARITY_BINS - 1)
    histograms = [
        np.bincount(bins, weights=counts, minlength=POPULARITY_BINS).tolist() for counts in (before, now)
    ]
    return psi([*histograms[0], 0.0], [*histograms[1], float(items.new_interactions)])


def values_psi(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """PSI of ratings over at most ten bins of neighbouring values, with equal shares of the champion's."""
    values = np.array(sorted({float(value) for value in (*before, *now)}))
    old, new = (
        np.bincount(
            np.searchsorted(values, [float(value) for value in counts]),
            weights=list(counts.values()),
            minlength=len(values),
        )
        for counts in (before, now)
    )
    bins = ((np.cumsum(old) - old) * VALUE_BINS // max(old.sum(), 1)).astype(np.int64).clip(0, VALUE_BINS - 1)
    return psi(*(np.bincount(bins, weights=counts, minlength=VALUE_BINS).tolist() for counts in (old, new)))


def compare(
    before: Facts,
    now: Facts,
    rules: Mapping[str, Mapping[str, float]],
    *,
    users: Counts | None = None,
    items: Counts | None = None,
) -> Comparison:
    """Measure what has changed, and say which limits were passed.

    ``users`` and ``items`` may be left out, where there are too many ids to compare.
    """
    found: dict[str, float | None] = {
        "fewer_rows": _gone(before.rows, now.rows),
        "fewer_users": _gone(before.users, now.users),
        "fewer_items": _gone(before.items, now.items),
        "quarantined": _share(now.quarantined, now.rows),
        "interactions_per_user": _change(
            _share(before.interactions, before.users), _share(now.interactions, now.users)
        ),
        "new_users": None if users is None else _share(users.new_ids, now.users),
        "new_items": None if items is None else _share(items.new_ids, now.items),
        "popularity_psi": None if items is None else popularity_psi(items),
        "label_psi": _label_psi(before, now),
        "time_gap": _longer_gap(before, now),
    }
    measures: dict[str, dict[str, float | None]] = {
        "rows": {"before": before.rows, "now": now.rows},
        "users": {"before": before.users, "now": now.users},
        "items": {"before": before.items, "now": now.items},
        "interactions_per_user": {
            "before": _share(before.interactions, before.users),
            "now": _share(now.interactions, now.users),
        },
        "quarantined": {
            "before": _share(before.quarantined, before.rows),
            "now": _share(now.quarantined, now.rows),
        },
        "picked": {"before": before.picked, "now": now.picked},
        "longest_gap_days": {"before": before.longest_gap, "now": now.longest_gap},
        **{
            name: {"before": None, "now": found[name]}
            for name in ("new_users", "new_items", "popularity_psi", "label_psi")
        },
    }
    comparison = Comparison(before.run, measures)
    for measure, value in found.items():
        if value is not None:
            limited = {level: rules[level].get(measure) for level in LEVELS}
            comparison.limits[measure] = {"value": value, **limited}
        finding = None if value is None else _finding(measure, value, rules, before, now)
        if finding is not None:
            comparison.findings.append(finding)
    comparison.sentence = _sentence(comparison)
    return comparison


def nothing_to_compare(reason: str) -> Comparison:
    """A comparison that was not made, and why."""
    return Comparison(sentence=reason)


def _finding(
    measure: str, value: float, rules: Mapping[str, Mapping[str, float]], before: Facts, now: Facts
) -> Finding | None:
    """The graver limit that was passed, if any."""
    for level in reversed(LEVELS):
        limit = rules[level].get(measure)
        if limit is not None and value > limit:
            text = f"{_words(measure, value, before, now)}; the limit is {_number(measure, limit)}"
            return Finding(measure, value, limit, level, text)
    return None


def _words(measure: str, value: float, before: Facts, now: Facts) -> str:
    if measure in ("fewer_rows", "fewer_users", "fewer_items"):
        what = measure.removeprefix("fewer_")
        counts = getattr(before, what), getattr(now, what)
        return f"{counts[1]:,} {what} where the champion's data had {counts[0]:,}, {value:.1%} fewer"
    return {
        "new_users": f"{value:.1%} of the users are unknown to the champion",
        "new_items": f"{value:.1%} of the items are unknown to the champion",
        "quarantined": f"{now.quarantined:,} of {now.rows:,} rows are in quarantine, {value:.1%}",
        "interactions_per_user": (
            f"{_share(now.interactions, now.users):.2f} interactions per user where the champion's data had "
            f"{_share(before.interactions, before.users):.2f}"
        ),
        "popularity_psi": f"which items are popular has changed: PSI {value:.3f}",
        "time_gap": (
            f"there are no interactions for {now.longest_gap} days after {now.gap_after}, where the longest gap in "
            f"the champion's data was {before.longest_gap} days"
        ),
        "label_psi": (
            f"the ratings are distributed differently: PSI {value:.3f}"
            if now.picked is None
            else f"{now.picked:.1%} of the labels are positive where {before.picked or 0:.1%} were: "
            f"PSI {value:.3f}"
        ),
    }[measure]


def _number(measure: str, limit: float) -> str:
    if measure == "time_gap":
        return f"{limit:g} more days"
    return f"{limit:g}" if measure.endswith("psi") else f"{limit:.1%}"


def _sentence(comparison: Comparison) -> str:
    if not comparison.findings:
        return f"The data is like that of run {comparison.before}, from which the champion learned."
    listed = "; ".join(finding.sentence for finding in comparison.findings)
    if not comparison.stopped:
        return f"The data differs from that of run {comparison.before}: {listed}."
    return (
        f"The data differs too much from that of run {comparison.before}, from which the champion learned: "
        f"{listed}. What is served stays as it is. If the data is as it should be, start a run with "
        '{"encoded": "<this run>", "drift": {"stop": {}}}, or change drift.stop in settings.'
    )


def _gone(before: int, now: int) -> float:
    return max(0.0, 1 - now / before) if before else 0.0


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _change(before: float, now: float) -> float:
    """How much larger the larger is: 0.5 for half as many more, or for two thirds."""
    if not before or not now:
        return 0.0
    return max(before, now) / min(before, now) - 1


def _label_psi(before: Facts, now: Facts) -> float | None:
    if before.values and now.values:
        return values_psi(before.values, now.values)
    if before.picked is None or now.picked is None:
        return None
    return psi(
        [before.picked * before.rows, (1 - before.picked) * before.rows],
        [now.picked * now.rows, (1 - now.picked) * now.rows],
    )


def _longer_gap(before: Facts, now: Facts) -> float | None:
    if before.longest_gap is None or now.longest_gap is None:
        return None
    return float(max(0, now.longest_gap - before.longest_gap))
