"""What is known of a user now: interactions that the model was trained on, and events since then.

Events come in any order, several times, and late; an event counts once, by its id, and an item counts once,
with the largest weight that any of its interactions has. So a purchase that training already knows is not
liked twice because its event is delivered again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmrec.events.event import Event

Ordinals = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EventWeights:
    """How much an event counts as liked: what the data set's ``label`` says for training.

    ``threshold``: a value below it is seen, but not liked. ``by_event``: weight by kind; kinds that are not
    named are seen, but not liked; None if kinds don't matter.
    """

    threshold: float | None = None
    by_event: Mapping[str, float] | None = None

    def of(self, event: Event) -> float:
        if self.threshold is not None and event.value is not None and event.value < self.threshold:
            return 0.0
        if self.by_event:
            return float(self.by_event.get(event.event or "", 0.0))
        return 1.0


@dataclass(frozen=True)
class Trained:
    """What the model knows of a user: ordinals of items, ascending."""

    liked: Ordinals
    seen: Ordinals
    user: int | None = None
    """The user's ordinal, also of who was left out of training; None for who was not in the interactions."""


NOTHING = Trained(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class UserHistory:
    """A merged history, ready to be folded in."""

    trained: Trained
    ordinals: Ordinals
    """Items that the user liked, ascending, and below how much each counts."""
    weights: npt.NDArray[np.float64]
    seen: Ordinals
    """All that the user has interacted with, ascending: never recommended unless asked for."""
    unknown_items: tuple[str, ...] = ()
    """Items of events that the model doesn't know, each once, in the order of the events."""
    duplicates: int = 0
    """Events whose id came before."""

    @property
    def adds_nothing(self) -> bool:
        """Whether events say no more than training knows."""
        return (
            np.array_equal(self.ordinals, self.trained.liked)
            and bool((self.weights == 1).all())
            and np.array_equal(self.seen, np.union1d(self.trained.seen, self.trained.liked))
        )

    @property
    def known(self) -> bool:
        """Whether training knew this user."""
        return self.trained.user is not None


def merge_history(
    trained: Trained,
    events: Iterable[Event],
    ordinal_of: Mapping[str, int],
    weights: EventWeights | None = None,
) -> UserHistory:
    """Merge what training knows of a user with events.

    Parameters
    ----------
    events
        Of this user, in any order; of equal ids the earliest by time counts, and of those the first.
    ordinal_of
        Ordinal of each item of the model, by id.
    weights
        1 for every event by default.
    """
    weigh = weights or EventWeights()
    given = list(events)
    by_id: dict[str, Event] = {}
    for event in sorted(given, key=lambda event: event.at):
        by_id.setdefault(event.event_id, event)
    liked = dict.fromkeys(trained.liked.tolist(), 1.0)
    seen = set(trained.seen.tolist()) | set(liked)
    unknown: dict[str, None] = {}
    for event in by_id.values():
        ordinal = ordinal_of.get(event.item_id)
        if ordinal is None:
            unknown.setdefault(event.item_id)
            continue
        seen.add(ordinal)
        weight = weigh.of(event)
        if weight > 0:
            liked[ordinal] = max(liked.get(ordinal, 0.0), weight)
    ordinals = np.array(sorted(liked), np.int64)
    return UserHistory(
        trained,
        ordinals,
        np.array([liked[ordinal] for ordinal in ordinals.tolist()], np.float64),
        np.array(sorted(seen), np.int64),
        tuple(unknown),
        len(given) - len(by_id),
    )
