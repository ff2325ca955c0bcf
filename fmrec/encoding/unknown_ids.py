"""What becomes of rows whose user or item train has not seen: the choices of the setting ``unknown``."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fmrec.artifacts.manifest import Dropped
from fmrec.encoding.row_types import UNKNOWN, LabelledRows, Mask
from fmrec.encoding.tally import Tally

REASONS = {"user": Dropped.USER_NOT_IN_TRAIN, "item": Dropped.ITEM_NOT_IN_TRAIN}


class UnknownIds(Protocol):
    """A policy. ``needs_seen_ids``: rows must wait until it is known what train has seen."""

    needs_seen_ids: bool
    leaves_out_ids: bool
    """Whether the tables of side features leave out the own ids that train has not seen."""

    def apply(
        self, rows: LabelledRows, known: Mask, side: str, channel: str, tally: Tally
    ) -> LabelledRows: ...


class IndexUnknown:
    """Encode them like all others: their weights stay untrained."""

    needs_seen_ids = False
    leaves_out_ids = False

    def apply(self, rows: LabelledRows, known: Mask, side: str, channel: str, tally: Tally) -> LabelledRows:
        return rows


class DropUnknown:
    """Drop their rows, and count them."""

    needs_seen_ids = True
    leaves_out_ids = False

    def apply(self, rows: LabelledRows, known: Mask, side: str, channel: str, tally: Tally) -> LabelledRows:
        if known.all():
            return rows
        dropped = int((~known & ~rows.is_negative).sum())
        counts = tally.channel(channel)
        tally.drop(REASONS[side], dropped)
        counts.encoded -= dropped
        counts.negatives -= int((~known & rows.is_negative).sum())
        return rows.take(known)


class LeaveOutUnknown:
    """Leave the id out of the record, and keep the side features."""

    needs_seen_ids = True
    leaves_out_ids = True

    def apply(self, rows: LabelledRows, known: Mask, side: str, channel: str, tally: Tally) -> LabelledRows:
        if known.all():
            return rows
        return rows.with_(**{side: np.where(known, rows.of_side(side), UNKNOWN)})


POLICIES: dict[str, UnknownIds] = {
    "index": IndexUnknown(),
    "drop": DropUnknown(),
    "features-only": LeaveOutUnknown(),
}
"""By the setting's values."""
