"""manifest.json: what an encoding run read, wrote and left out.

The encoding job writes it last, so its presence means that the encoding is complete. Every later
step (instance choice, embeddings, publishing) reads sizes and column ranges from it instead of
looking at the data. The form is in ``docs/contracts.md``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fmrec.errors import FormatError

VERSION = 1


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
        except ValueError as error:
            raise FormatError(f"manifest.json is not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("version") != VERSION:
            found = document.get("version") if isinstance(document, dict) else type(document).__name__
            raise FormatError(
                f"manifest.json has version {found!r}, this code reads {VERSION}; encode the data again"
            )
        known = {f.name for f in fields(cls)}
        try:
            values = {key: value for key, value in document.items() if key in known}
            values["rows"] = Rows(**document["rows"])
            values["train"] = Channel(**document["train"])
            values["test"] = Channel(**document["test"])
            values["ranges"] = {name: (int(a), int(b)) for name, (a, b) in document["ranges"].items()}
            manifest = cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"manifest.json lacks or misstates something: {error}") from error
        manifest.rows.reconcile()
        manifest._check_ranges()
        return manifest

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
