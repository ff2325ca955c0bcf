"""manifest.json: what an encoding run read, wrote and left out.

The encoding job writes it last, so its presence means that the encoding is complete. Every later
step (instance choice, embeddings, publishing) reads sizes and column ranges from it instead of
looking at the data. The form is in ``docs/contracts.md``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from fmrec.dataset.left_out_share import share_left_out
from fmrec.dataset.names import DEFAULT
from fmrec.errors import FormatError

VERSION = 1


class Dropped(StrEnum):
    """Why a good row is not encoded, as the manifest's ``dropped_reasons`` say it."""

    NOT_RATED = "not rated"
    ERASED = "user erased"
    USER_BELOW_MINIMUM = "user below the minimum"
    ITEM_BELOW_MINIMUM = "item below the minimum"
    DUPLICATE = "duplicate of a later interaction"
    USER_LEFT_OUT = "user left out of training"
    HELD_OUT_FOR_TEST = "held out for test"
    NOT_PICKED = "met, but not picked"
    USER_NOT_IN_TRAIN = "user met in test only"
    ITEM_NOT_IN_TRAIN = "item met in test only"


def _known(cls: type[Any], document: Any) -> dict[str, Any]:
    """What a section says of the fields that are known here."""
    names = {each.name for each in fields(cls)}
    return {key: value for key, value in document.items() if key in names}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e300


@dataclass(frozen=True)
class Channel:
    """One recordIO-protobuf prefix: a SageMaker channel."""

    prefix: str
    rows: int
    parts: int
    bytes: int
    positive_share: float | None
    """Share of labels equal to 1, or None where labels are not binary."""


@dataclass(frozen=True)
class Rows:
    """Counts of input rows; ``read = encoded + quarantined + dropped``, ``encoded = train + test``.

    Sampled negatives are not input rows: they are in ``Channel.rows`` but not here.
    """

    read: int
    encoded: int
    train: int
    test: int
    quarantined: int = 0
    dropped: int = 0

    def reconcile(self) -> None:
        """Raise FormatError unless the counts add up."""
        if self.read != self.encoded + self.quarantined + self.dropped:
            raise FormatError(
                f"counts don't add up: {self.read} rows read, but {self.encoded} encoded + "
                f"{self.quarantined} quarantined + {self.dropped} dropped = "
                f"{self.encoded + self.quarantined + self.dropped}"
            )
        if self.encoded != self.train + self.test:
            raise FormatError(
                f"counts don't add up: {self.encoded} rows encoded, but {self.train} train + "
                f"{self.test} test = {self.train + self.test}"
            )


@dataclass(frozen=True)
class Manifest:
    """What one encoding run produced. Column ranges are half-open."""

    run: str
    created: str
    dataset: dict[str, Any]
    feature_dim: int
    nnz_per_row: float
    users: int
    items: int
    ranges: dict[str, tuple[int, int]]
    rows: Rows
    train: Channel
    test: Channel
    quarantine_reasons: dict[str, int] = field(default_factory=dict)
    dropped_reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    version: int = VERSION
    details: dict[str, Any] = field(default_factory=dict)
    """Anything more that the writer wants kept: per-file counts, side features, timings."""

    @property
    def dataset_name(self) -> str:
        """Whose lists and champion the run is about; encodings from before names are the default's."""
        return str(self.dataset.get("name", DEFAULT))

    @property
    def left_out_share(self) -> float:
        """The share of the users who were left out of training (`fmrec.dataset.left_out_share`)."""
        wanted = self.dataset.get("label", {}).get("left_out_users") or 0
        return share_left_out(float(wanted), self.users, self.items)

    @property
    def first_item_column(self) -> int:
        return self.ranges["item"][0]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Parse and check; unknown keys are ignored so that writers may add some.

        Raises
        ------
        FormatError
            Not JSON, another version, a missing key, ranges with gaps, or counts that don't add up.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"manifest.json is not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("version") != VERSION:
            found = document.get("version") if isinstance(document, dict) else type(document).__name__
            raise FormatError(
                f"manifest.json has version {found!r}, this code reads {VERSION}; encode the data again"
            )
        try:
            manifest = cls(
                **_known(cls, document)
                | {
                    "rows": Rows(**_known(Rows, document["rows"])),
                    "train": Channel(**_known(Channel, document["train"])),
                    "test": Channel(**_known(Channel, document["test"])),
                    "ranges": {str(name): (a, b) for name, (a, b) in document["ranges"].items()},
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"manifest.json lacks or misstates something: {error}") from error
        manifest._check_types()
        manifest.rows.reconcile()
        manifest._check_ranges()
        manifest._check_channels()
        return manifest

    def _check_types(self) -> None:
        """Refuse what is no count, number, text or object where one belongs."""
        counts = {name: getattr(self, name) for name in ("feature_dim", "users", "items")}
        numbers: dict[str, Any] = {"nnz_per_row": self.nnz_per_row, "seconds": self.seconds}
        texts: dict[str, Any] = {"run": self.run, "created": self.created}
        objects = {
            name: getattr(self, name)
            for name in ("dataset", "quarantine_reasons", "dropped_reasons", "details")
        }
        for name, (start, end) in self.ranges.items():
            counts |= {f"ranges.{name}": start, f"ranges.{name}'s end": end}
        counts |= {f"rows.{key}": value for key, value in asdict(self.rows).items()}
        for part in ("train", "test"):
            channel = asdict(getattr(self, part))
            texts[f"{part}.prefix"] = channel["prefix"]
            counts |= {f"{part}.{key}": channel[key] for key in ("rows", "parts", "bytes")}
            if channel["positive_share"] is not None:
                numbers[f"{part}.positive_share"] = channel["positive_share"]
        for values, fits, expected in (
            (counts, _is_count, "a count"),
            (numbers, _is_number, "a number from 0"),
            (texts, lambda value: isinstance(value, str), "a text"),
            (objects, lambda value: isinstance(value, dict), "an object"),
        ):
            for name, value in values.items():
                if not fits(value):
                    raise FormatError(f"manifest.json: {name} is {repr(value)[:80]}, expected {expected}")
        label = self.dataset.get("label", {})
        for key, fits, expected in (
            ("left_out_users", _is_number, "a share of the users"),
            ("seed", _is_count, "a count"),
        ):
            if isinstance(label, dict) and not fits(label.get(key) or 0):
                raise FormatError(
                    f"manifest.json: dataset.label.{key} is {repr(label[key])[:80]}, expected {expected}"
                )
        for place, section, key in (
            ("dataset.label", self.dataset.get("label", {}), "mode"),
            ("details.side_features", self.details.get("side_features", {}), "user"),
            ("details.side_features", self.details.get("side_features", {}), "item"),
        ):
            if not isinstance(section, dict) or not isinstance(section.get(key) or "", str):
                raise FormatError(
                    f"manifest.json: {place} is {repr(section)[:80]}, expected an object of texts"
                )

    def _check_channels(self) -> None:
        """Refuse numbers that contradict each other."""
        for name, count in (("user", self.users), ("item", self.items)):
            if name not in self.ranges:
                raise FormatError(f"manifest.json: ranges lack {name!r}")
            start, end = self.ranges[name]
            if end - start != count:
                raise FormatError(
                    f"manifest.json has {count} {name}s, but their columns are [{start}, {end}), which are {end - start}"
                )
        for part, channel in (("train", self.train), ("test", self.test)):
            if channel.rows > 0 and channel.parts == 0:
                raise FormatError(f"manifest.json: the {part} channel has {channel.rows} rows in no part")
            if (channel.positive_share or 0) > 1:
                raise FormatError(
                    f"manifest.json: {part}.positive_share is {channel.positive_share}, expected at most 1"
                )
        for part, reasons in (
            ("quarantined", self.quarantine_reasons),
            ("dropped", self.dropped_reasons),
        ):
            counted = list(reasons.values())
            if not all(map(_is_count, counted)):
                raise FormatError(f"manifest.json: the reasons of {part} rows must have counts")
            total = getattr(self.rows, part)
            if counted and sum(counted) != total:
                raise FormatError(
                    f"manifest.json has {total} {part} rows, but reasons for {sum(counted)} of them"
                )

    def _check_ranges(self) -> None:
        column = 0
        for name, (start, end) in self.ranges.items():
            if start != column or end < start:
                raise FormatError(
                    f"manifest.json: columns of {name!r} are [{start}, {end}), expected to start at {column}"
                )
            column = end
        if column != self.feature_dim:
            raise FormatError(f"manifest.json: ranges end at {column}, feature_dim is {self.feature_dim}")
