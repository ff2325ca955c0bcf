"""What else describes a user, an item or an interaction: the ``features`` section.

Users and items are always features. Every entry here adds a namespace of columns after theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fmrec.dataset.section import Section
from fmrec.dataset.timestamps import take_timestamp_format
from fmrec.errors import SettingsError

OWNERS = ("user", "item", "interaction")
KINDS = ("categorical", "multi-valued", "numeric", "bucket", "date-part")
DATE_PARTS = ("year", "month", "day-of-month", "day-of-week", "hour")
DEFAULT_SCALE = 0.1


@dataclass(frozen=True)
class Feature:
    """One namespace of columns.

    ========================  =========================================  =========================
    kind                      columns                                    value written
    ========================  =========================================  =========================
    categorical               one a distinct text                        scale
    multi-valued              one a distinct text between separators     scale / texts in this row
    numeric                   one                                        scale x (x - mean) / std
    bucket                    one a quantile bucket, at most `buckets`   scale
    date-part                 one a distinct year, month, …              scale
    ========================  =========================================  =========================

    A missing value writes nothing. Ids weigh 1; side features at the same weight drown them, hence
    a scale below 1.
    """

    name: str
    of: str
    column: str
    kind: str = "categorical"
    scale: float = DEFAULT_SCALE
    separator: str | None = None
    buckets: int | None = None
    part: str | None = None
    timestamp_format: str | None = None
    """date-part of an attribute: how the column is written, as for ``interactions.timestamp_format``."""

    @classmethod
    def take(cls, section: Section) -> Feature:
        kind = section.choice("kind", KINDS, "categorical")
        of = section.choice("of", OWNERS)
        feature = cls(
            name=section.text("name"),
            of=of,
            column=section.text("column", section.text("name")),
            kind=kind,
            scale=section.number("scale", DEFAULT_SCALE, above=0, most=1000),
            separator=section.text("separator", "|") if kind == "multi-valued" else None,
            buckets=section.integer("buckets", 10, least=2, most=1000) if kind == "bucket" else None,
            part=section.choice("part", DATE_PARTS) if kind == "date-part" else None,
            timestamp_format=(
                take_timestamp_format(section, "iso8601")
                if kind == "date-part" and of != "interaction"
                else None
            ),
        )
        section.finish()
        return feature

    def to_document(self) -> dict[str, Any]:
        keys = ("name", "of", "column", "kind", "scale", "separator", "buckets", "part", "timestamp_format")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


def take_features(found: Any, place: str) -> tuple[Feature, ...]:
    if not isinstance(found, list):
        raise SettingsError(f"{place} is {found!r}: expected a list of features")
    features = tuple(Feature.take(Section(entry, f"{place}[{at}]")) for at, entry in enumerate(found))
    names = ["user", "item"]
    for at, feature in enumerate(features):
        if feature.name in names:
            raise SettingsError(
                f"{place}[{at}].name is {feature.name!r}, which is taken: expected another name, "
                "since each feature is a namespace of its own in addition to user and item"
            )
        names.append(feature.name)
    return features
