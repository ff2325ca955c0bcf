"""What an interaction says: the ``label`` section."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from fmrec.dataset.left_out_share import MAXIMUM_SHARE
from fmrec.dataset.section import Section
from fmrec.errors import SettingsError

MOST_MODELS = 10
AUTO = "auto"
BY_SIZE = ("negatives_per_positive", "copies")
"""What the encoding chooses from the counts of users, items and interactions, unless a document says it."""
SAMPLING = ("uniform", "popularity")
PREDICTOR_OF_LABEL = {
    "binary": "binary_classifier",
    "implicit": "binary_classifier",
    "regression": "regressor",
}


@dataclass(frozen=True)
class BinaryLabel:
    """1 where the value is at least ``threshold``, else 0: for FM's binary_classifier."""

    threshold: float = 4.0
    mode = "binary"

    def to_document(self) -> dict[str, Any]:
        return {"mode": self.mode, "threshold": self.threshold}


@dataclass(frozen=True)
class RegressionLabel:
    """The value itself: for FM's regressor.

    ``threshold`` says from which value on a user is taken to have liked an item when top-N lists are
    judged; training doesn't know it.
    """

    threshold: float = 4.0
    mode = "regression"

    def to_document(self) -> dict[str, Any]:
        return {"mode": self.mode, "threshold": self.threshold}


@dataclass(frozen=True)
class ImplicitLabel:
    """1 for what a user picked, 0 for sampled items that the user never interacted with.

    ``threshold`` says which values count as picked (all, if None); what lies below is seen, but not
    picked. ``event_weights`` says how many times a row is written for training, by event; a
    fraction is a seeded chance, 0 and events not named are seen, but not picked. ``copies`` writes all
    positives for training so many times, each time with negatives of their own: the trainer reads
    the same file in every epoch, so more copies and fewer epochs stand in for negatives drawn anew.
    ``models`` writes all of that so many times, in parts of their own, for the models of an ensemble.
    ``full_weight_picks`` is how many picks of a user count in full: of users with more, each pick is written
    in some of the copies only, so that together they count as the root of their number. None: all count.
    ``left_out_users`` is the share of users who are left out of training (`fmrec.dataset.left_out_share`).
    ``auto`` names what the encoding is to choose (`fmrec.deployment.shape_rule.sampling`).
    """

    threshold: float | None = None
    event_weights: dict[str, float] = field(default_factory=dict)
    negatives_per_positive: int = 4
    copies: int = 1
    models: int = 1
    full_weight_picks: int | None = None
    left_out_users: float = 0.0
    sampling: str = "uniform"
    seed: int = 0
    auto: frozenset[str] = frozenset()
    mode = "implicit"

    @property
    def all_by_size(self) -> bool:
        """Whether the encoding is to choose everything that it can."""
        return self.auto == frozenset(BY_SIZE)

    def chosen(self, **values: int) -> ImplicitLabel:
        """The label with what was chosen where nobody has."""
        own: dict[str, Any] = {name: values[name] for name in self.auto}
        return replace(self, auto=frozenset(), **own)

    def to_document(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "threshold": self.threshold,
            "event_weights": dict(self.event_weights),
            **{name: AUTO if name in self.auto else getattr(self, name) for name in BY_SIZE},
            "sampling": self.sampling,
            "seed": self.seed,
            **({"full_weight_picks": self.full_weight_picks} if self.full_weight_picks is not None else {}),
            # Only an execution's ensemble asks for several: documents of one model stay as they were.
            **({"models": self.models} if self.models > 1 else {}),
            **({"left_out_users": self.left_out_users} if self.left_out_users else {}),
        }


Label = BinaryLabel | RegressionLabel | ImplicitLabel


def take_label(section: Section) -> Label:
    mode = section.choice("mode", ("binary", "regression", "implicit"), "binary")
    label: Label
    if mode == "binary":
        label = BinaryLabel(section.number("threshold", 4.0))
    elif mode == "regression":
        label = RegressionLabel(section.number("threshold", 4.0))
    else:
        label = ImplicitLabel(
            threshold=section.number("threshold", None),
            event_weights=_event_weights(section),
            **_by_size(section),
            models=section.integer("models", 1, least=1, most=MOST_MODELS),
            full_weight_picks=section.integer("full_weight_picks", None, least=1),
            left_out_users=section.number("left_out_users", 0.0, least=0, most=MAXIMUM_SHARE),
            sampling=section.choice("sampling", SAMPLING, "uniform"),
            seed=section.integer("seed", 0, least=0),
        )
    section.finish()
    return label


def _by_size(section: Section) -> dict[str, Any]:
    """How many negatives and copies; where a document says neither, the encoding chooses both."""
    unsaid = not any(name in section for name in BY_SIZE)
    auto = frozenset(name for name in BY_SIZE if section.take(name, AUTO if unsaid else None) == AUTO)
    given: dict[str, Any] = {}
    if "negatives_per_positive" not in auto:
        given["negatives_per_positive"] = section.integer("negatives_per_positive", 4, least=0, most=1000)
    if "copies" not in auto:
        given["copies"] = section.integer("copies", 1, least=1, most=100)
    return {**given, "auto": auto}


def _event_weights(section: Section) -> dict[str, float]:
    weights = section.section("event_weights")
    names = list(section.take("event_weights", {}))
    found = {name: weights.number(name, least=0, most=1000) for name in names}
    if found and not any(found.values()):
        raise SettingsError(
            f"{section.where('event_weights')} gives every event the weight 0: expected one above 0"
        )
    return found


def check_predictor(label_mode: str, predictor_type: str) -> None:
    """Raise SettingsError unless the kind of label suits the kind of predictor."""
    expected = PREDICTOR_OF_LABEL[label_mode]
    if predictor_type != expected:
        raise SettingsError(
            f"hyperparameters.predictor_type is {predictor_type!r}, but the data set's label.mode is "
            f"{label_mode!r}: expected {expected!r}, or another label.mode"
        )
