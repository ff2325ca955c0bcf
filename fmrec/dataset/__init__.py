"""The data set document: where interactions lie, what their columns mean, and what to make of them.

``Dataset.from_document`` checks every setting and fails with a sentence; docs/datasets.md explains
them with examples. Nothing heavy is imported here: the CDK app validates its settings with it too.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fmrec.dataset.features import Feature, take_features
from fmrec.dataset.labels import BinaryLabel, ImplicitLabel, Label, RegressionLabel, take_label
from fmrec.dataset.names import DEFAULT, check_name
from fmrec.dataset.section import Section
from fmrec.dataset.sources import Attributes, Interactions, Source
from fmrec.dataset.splits import (
    LeaveFirstN,
    LeaveLastN,
    NoSplit,
    RandomSplit,
    Split,
    TimeCut,
    split_to_document,
    take_split,
)
from fmrec.errors import SettingsError

__all__ = [
    "Attributes", "BinaryLabel", "Dataset", "Feature", "ImplicitLabel", "Interactions", "LeaveFirstN",
    "LeaveLastN", "MinimumInteractions", "NoSplit", "QuarantineLimits", "RandomSplit", "RegressionLabel",
    "Source", "TimeCut",
]  # fmt: skip

DUPLICATES = ("all", "keep-last", "sum")
UNKNOWN = ("index", "drop", "features-only")


@dataclass(frozen=True)
class MinimumInteractions:
    """Rows of users and items with fewer valid interactions are dropped; counted once, before dropping."""

    user: int = 1
    item: int = 1


@dataclass(frozen=True)
class QuarantineLimits:
    """What is a bad row, and how many are too many."""

    max_share: float = 0.05
    """Share of the rows read above which the run fails."""
    max_id_length: int = 256
    """In characters."""
    earliest: str = "1970-01-01T00:00:00+00:00"
    latest: str = "2100-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Dataset:
    """A data set document, checked, with every default filled in."""

    interactions: Interactions
    name: str = DEFAULT
    """Lists, champion, registry groups and endpoints belong to it (`fmrec.dataset.names`)."""
    label: Label = field(default_factory=BinaryLabel)
    split: Split = field(default_factory=LeaveFirstN)
    validation: bool = False
    """Choose hyperparameters: what the split holds out for test is dropped and counted, and the rest is split
    once more (`for_validation`), so that the test channel has validation rows."""
    users: Attributes | None = None
    items: Attributes | None = None
    features: tuple[Feature, ...] = ()
    minimum_interactions: MinimumInteractions = field(default_factory=MinimumInteractions)
    duplicates: str = "all"
    """Several interactions of one user with one item: keep ``all``, ``keep-last`` (by timestamp, then
    file order), or ``sum`` their values (implicit: their weights) into the last."""
    unknown: str = "index"
    """Test rows of users or items that are not in train: ``index`` encodes them like all others (their
    columns just stay untrained), ``drop`` drops and counts them, ``features-only`` leaves the unknown
    id out and keeps the side features. All ids are in the feature index in any case."""
    quarantine: QuarantineLimits = field(default_factory=QuarantineLimits)
    seed: int = 0
    """Decides the order of the training rows."""
    parts: int | None = None
    """How many train parts to write; by size (32 MiB each) if None."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Dataset:
        """Check a document and fill in its defaults.

        Raises
        ------
        SettingsError
            Naming the setting, what was found and what was expected.
        """
        whole = Section(document, "")
        dataset = cls(
            interactions=Interactions.take(whole.section("interactions")),
            name=check_name(whole.take("name", DEFAULT)),
            label=take_label(whole.section("label")),
            split=take_split(whole.section("split")),
            validation=whole.flag("validation", False),
            users=Attributes.take(whole.section("users"), "user_id") if "users" in whole else None,
            items=Attributes.take(whole.section("items"), "item_id") if "items" in whole else None,
            features=take_features(whole.take("features", []), "features"),
            minimum_interactions=_take_minimum(whole.section("minimum_interactions")),
            duplicates=whole.choice("duplicates", DUPLICATES, "all"),
            unknown=whole.choice("unknown", UNKNOWN, "index"),
            quarantine=_take_quarantine(whole.section("quarantine")),
            seed=whole.integer("seed", 0, least=0),
            parts=whole.integer("parts", None, least=1, most=100_000),
        )
        for key in ("users", "items"):
            whole.take(key, None)
        whole.finish()
        dataset._check()
        return dataset

    def to_document(self) -> dict[str, Any]:
        """Return the document with every default spelled out; ``from_document`` reads it back."""
        document: dict[str, Any] = {
            "name": self.name,
            "interactions": self.interactions.to_document(),
            "label": self.label.to_document(),
            "split": split_to_document(self.split),
            "features": [feature.to_document() for feature in self.features],
            "minimum_interactions": asdict(self.minimum_interactions),
            "duplicates": self.duplicates,
            "unknown": self.unknown,
            "quarantine": asdict(self.quarantine),
            "seed": self.seed,
            "parts": self.parts,
        }
        if self.validation:
            document["validation"] = True
        for key, attributes in (("users", self.users), ("items", self.items)):
            if attributes is not None:
                document[key] = attributes.to_document()
        return document

    def _check(self) -> None:
        """What no section sees alone."""
        columns, label = self.interactions.columns, self.label
        if isinstance(label, ImplicitLabel):
            if label.threshold is not None:
                self._need("value", "label.threshold compares it")
            if label.event_weights:
                self._need("event", "label.event_weights weighs it")
        else:
            self._need("value", f"label.mode {label.mode!r} is made from it")
        if isinstance(self.split, LeaveLastN | TimeCut):
            self._need("timestamp", f"split.method {self.split.method!r} goes by it")
        if self.unknown == "features-only" and not self.features:
            raise SettingsError(
                "unknown is 'features-only', but there are no features: add some, or use 'index' or 'drop'"
            )
        for side, attributes in (("user", self.users), ("item", self.items)):
            described = any(feature.of == side for feature in self.features)
            if attributes is not None and attributes.without_interactions and not described:
                raise SettingsError(
                    f"{side}s.without_interactions is true, but no feature describes {side}s, and nothing else is known "
                    f"of {side}s without interactions: add features of {side}s, or leave it out"
                )
        for at, feature in enumerate(self.features):
            source = {"user": ("users", self.users), "item": ("items", self.items)}.get(feature.of)
            if source is not None and source[1] is None:
                raise SettingsError(
                    f"features[{at}] ({feature.name}) describes the {feature.of}, but the document has no "
                    f"{source[0]} section that says where its attributes lie"
                )
            on_interaction = feature.kind == "date-part" and feature.of == "interaction"
            if on_interaction and feature.column != columns.get("timestamp"):
                raise SettingsError(
                    f"features[{at}].column is {feature.column!r}: a date part of an interaction is taken "
                    "from the column that interactions.columns.timestamp names"
                )

    def _need(self, role: str, why: str) -> None:
        if role not in self.interactions.columns:
            raise SettingsError(f"interactions.columns.{role} is missing: {why}")


def _take_minimum(section: Section) -> MinimumInteractions:
    minimum = MinimumInteractions(section.integer("user", 1, least=1), section.integer("item", 1, least=1))
    section.finish()
    return minimum


def _take_quarantine(section: Section) -> QuarantineLimits:
    default = QuarantineLimits()
    limits = QuarantineLimits(
        section.number("max_share", default.max_share, least=0, most=1),
        section.integer("max_id_length", default.max_id_length, least=1, most=65_536),
        _take_moment(section, "earliest", default.earliest),
        _take_moment(section, "latest", default.latest),
    )
    section.finish()
    if datetime.datetime.fromisoformat(limits.earliest) >= datetime.datetime.fromisoformat(limits.latest):
        raise section.error("latest", f"a time after quarantine.earliest, {limits.earliest}")
    return limits


def _take_moment(section: Section, key: str, default: str) -> str:
    try:
        moment = datetime.datetime.fromisoformat(section.text(key, default))
    except ValueError:
        raise section.error(key, "a time in ISO 8601, e.g. 2000-01-01") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).isoformat()
