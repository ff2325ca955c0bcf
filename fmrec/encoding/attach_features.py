"""Labelled rows get their user's or item's side features, where rows and lookup are in one bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fmrec.encoding.row_types import FeatureLookup, LabelledRows
from fmrec.encoding.shuffle.buckets import Route
from fmrec.encoding.shuffle.messages import CHANNELS, Kind, Message, each_bucket
from fmrec.encoding.tally import Tally
from fmrec.encoding.unknown_ids import UnknownIds


def attach_features(
    rows: LabelledRows, lookup: FeatureLookup, side: str, unknown: UnknownIds, channel: str, tally: Tally
) -> LabelledRows:
    """Give rows the features of their user or item, and apply the policy for ids that train has not seen."""
    known, features = lookup.find(rows.of_side(side))
    described = rows.with_(features=rows.features.hstack(features))
    return unknown.apply(described, known, side, channel, tally)


@dataclass(frozen=True)
class AttachFeatures:
    """The stage: buckets of users or items; what comes out goes where ``route`` says."""

    side: str
    unknown: UnknownIds
    route: Route

    def __call__(self, messages: Iterable[Message], partition: int) -> Iterator[Message]:
        tally = Tally()
        for _, found in each_bucket(messages):
            tables: list[FeatureLookup] = []
            lookup: FeatureLookup | None = None
            for message in found:
                if message.is_report:
                    yield message
                elif message.kind == Kind.LOOKUP:  # they come before rows
                    tables.append(FeatureLookup.from_bytes(message.payload))
                else:
                    if lookup is None:
                        lookup = FeatureLookup.concatenate(tables).sorted()
                    rows = LabelledRows.from_bytes(message.payload)
                    described = attach_features(
                        rows, lookup, self.side, self.unknown, CHANNELS[message.kind], tally
                    )
                    yield from self.route(described, message.kind)
        yield Message.of_tally(tally)
