"""What could be used of attributes and of features' texts, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fmrec.encoding.features.reading import Reading
from fmrec.errors import InputError

EXAMPLES = 3
FEW = 0.5
"""Share of the ids with attributes below which the run warns."""


@dataclass(frozen=True)
class FeatureValues:
    """How many texts of a feature could be used; ``missing`` counts owners without any."""

    usable: int
    unusable: int
    missing: int
    examples: tuple[str, ...] = ()
    """Some of the unusable texts."""

    def to_document(self) -> dict[str, Any]:
        found = {"usable": self.usable, "unusable": self.unusable, "missing": self.missing}
        return found | ({"examples": list(self.examples)} if self.examples else {})


@dataclass(frozen=True)
class AttributeCounts:
    """``read = bad + repeated + unmatched + matched``: rows of attribute files.

    ``repeated`` rows have the id of a later row, ``unmatched`` ids that no interaction has. ``ids`` are the
    users or items that are indexed.
    """

    path: str
    read: int
    repeated: int
    unmatched: int
    matched: int
    ids: int
    bad: Mapping[str, int] = field(default_factory=dict)
    bad_examples: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_rows(
        cls,
        path: str,
        rows: Mapping[str | None, int],
        examples: Mapping[str, str],
        *,
        distinct: int,
        matched: int,
        ids: int,
    ) -> AttributeCounts:
        """Take counts of rows by what is wrong with them.

        Parameters
        ----------
        rows : mapping of str or None to int
            By reason; None are rows that can be used.
        examples : mapping of str to str
            The first row of each reason.
        distinct, matched, ids : int
            Of usable rows' ids, of those that interactions have, and of all ids that interactions have.
        """
        bad = {reason: count for reason, count in rows.items() if reason is not None}
        return cls(
            path,
            read=sum(rows.values()),
            repeated=rows.get(None, 0) - distinct,
            unmatched=distinct - matched,
            matched=matched,
            ids=ids,
            bad=dict(sorted(bad.items())),
            bad_examples={reason: examples[reason] for reason in sorted(bad)},
        )

    def to_document(self) -> dict[str, Any]:
        counts = {key: getattr(self, key) for key in ("read", "repeated", "unmatched", "matched", "ids")}
        return {"path": self.path} | counts | {"bad": self.bad, "bad_examples": self.bad_examples}

    def check_bad(self, limit: float, advise: Callable[[], str]) -> None:
        """Refuse attributes more of which are bad than ``limit``, a share of the rows.

        Raises
        ------
        InputError
            They are.
        """
        bad = sum(self.bad.values())
        if bad <= limit * self.read:
            return
        raise InputError(
            f"{bad} of {self.read} rows of {self.path} are bad ({bad / self.read:.2%}: {self._reasons(', ')}), "
            f"more than quarantine.max_share allows ({limit:.2%}){advise()}"
        )

    def check_matched(self, id_column: str, there: Iterable[str], known: Iterable[str]) -> None:
        """Refuse attributes of nobody.

        Parameters
        ----------
        there, known : iterable of str
            The first ids of the attributes, and of the interactions.

        Raises
        ------
        InputError
            No row has an id that interactions have.
        """
        if self.matched:
            return
        if not self.read:
            raise InputError(f"{self.path} holds no rows: expected attributes")
        shown, expected = (", ".join(map(repr, ids)) for ids in (there, known))
        raise InputError(
            f"none of the {self.unmatched} ids in {id_column!r} of {self.path} occurs in the interactions: "
            f"there are {shown}, the interactions have {expected}; ids are compared letter by letter, so that "
            "blanks and leading zeros count"
        )

    def warnings(self, side: str) -> list[str]:
        """Return what is to be said of rows that can't be used, and of users or items without any."""
        warnings = []
        if self.bad:
            bad = sum(self.bad.values())
            warnings.append(f"{bad} of {self.read} rows of {self.path} can't be used: {self._reasons('; ')}")
        if self.matched < FEW * self.ids:
            warnings.append(
                f"{self.path} has attributes of {self.matched} of the {self.ids} {side}s only; "
                f"{self.unmatched} of its ids occur in no interaction"
            )
        return warnings

    def _reasons(self, separator: str) -> str:
        return separator.join(
            f"{count} {reason}, e.g. {self.bad_examples[reason]!r}" for reason, count in self.bad.items()
        )


@dataclass(frozen=True)
class FeatureReport:
    """What a run's attributes and features are made of: counts by side, and by the feature's name."""

    attributes: Mapping[str, AttributeCounts] = field(default_factory=dict)
    values: Mapping[str, FeatureValues] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """Return what was read of attributes, and each feature's usable values, for the manifest."""
        return {
            "attributes": {side: counts.to_document() for side, counts in self.attributes.items()},
            "feature_values": {name: values.to_document() for name, values in self.values.items()},
        }

    def warnings(self, readings: Iterable[Reading]) -> list[str]:
        """Return what is to be said of values and rows that can't be used.

        Raises
        ------
        InputError
            A feature has no usable value.
        """
        by_name = {reading.feature.name: reading for reading in readings}
        warnings = check_features({name: (by_name[name], found) for name, found in self.values.items()})
        return warnings + [text for side, counts in self.attributes.items() for text in counts.warnings(side)]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> FeatureReport:
        return cls(
            {side: AttributeCounts(**counts) for side, counts in found["attributes"].items()},
            {
                name: FeatureValues(**(values | {"examples": tuple(values["examples"])}))
                for name, values in found["values"].items()
            },
        )


def check_features(values: Mapping[str, tuple[Reading, FeatureValues]]) -> list[str]:
    """Return warnings about features of which some values can't be used.

    Raises
    ------
    InputError
        A feature has no usable value.
    """
    warnings = []
    for name, (reading, found) in values.items():
        feature = reading.feature
        examples = ", ".join(map(repr, found.examples))
        if not found.usable:
            owners = {"user": "users", "item": "items"}.get(feature.of, "interactions")
            reason = (
                f"none of the {found.unusable} values of {feature.column!r} is {reading.expected} "
                f"(there are {examples})"
                if found.unusable
                else f"{feature.column!r} is empty for all of the {found.missing} {owners}"
            )
            raise InputError(
                f"the feature {name!r} (kind {feature.kind}) has nothing to write: {reason}; "
                "correct the feature's settings or its values, or leave it out of features"
            )
        if found.unusable:
            total = found.usable + found.unusable
            warnings.append(
                f"{found.unusable} of {total} values of the feature {name!r} are not {reading.expected} "
                f"and write nothing, e.g. {examples}"
            )
    return warnings
