"""The champion as the API serves it: loaded once, and again when another model has become champion."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts import layout
from fmrec.artifacts.embedded_run import Run, open_run
from fmrec.artifacts.id_lookup import IdLookup
from fmrec.dataset.names import DEFAULT
from fmrec.errors import InputError, NotFoundError, ServiceError
from fmrec.events.event import Event
from fmrec.events.event_files import MAXIMUM_ID_BYTES
from fmrec.events.event_table import EventTable, StoredEvents
from fmrec.live.answers import Answer, Published
from fmrec.live.endpoint_ranking import EndpointRanking
from fmrec.live.item_names import StoredNames
from fmrec.live.live_model import LiveModel, live_model
from fmrec.live.segments import UserSegments
from fmrec.live.user_history import NOTHING, EventWeights, Trained, UserHistory, merge_history
from fmrec.recommendations.table import UserRecommendations, find
from fmrec.recommendations.table_keys import popular_key, user_key
from fmrec.recordio import decode
from fmrec.registry import champion
from fmrec.storage import object_store

REFRESH_SECONDS = 30.0
"""How long another champion may go unnoticed."""

CREATED_TO_THE_SECOND = 1.0
"""A manifest's time is cut to the second."""

KEY_BYTES = 2048
"""DynamoDB's limit for a partition key."""


NO_EVENTS = StoredEvents()


@dataclass(frozen=True)
class ServedModel:
    """A model, and what training knew of its users."""

    live: LiveModel
    encoded: Run
    users: IdLookup
    weights: EventWeights
    since: str = ""
    """When it became champion."""

    def history(self, user_id: str, stored: StoredEvents = NO_EVENTS) -> UserHistory:
        """What training knows of a user, unless the user has been erased since, and events since then."""
        user = None if self.forgets(stored.erased_at) else self.users.find(user_id)
        trained = NOTHING
        if user is not None:
            seen, liked = self.encoded.seen_and_liked(user, user + 1)
            trained = Trained(liked.of(0).astype(np.int64), seen.of(0).astype(np.int64), user)
        erased_at = stored.erased_at
        events = [event for event in stored.events if erased_at is None or event.at > erased_at]
        return merge_history(trained, events, self.live.ordinal_of, self.weights)

    def query(self, history: UserHistory) -> npt.NDArray[np.float32] | None:
        """The vector (k,) of somebody who has picked nothing, from the user's own side features; None where
        training knew none.
        """
        user = history.trained.user
        if (
            user is None
            or len(history.ordinals)
            or "user" not in self.encoded.manifest.details.get("side_features", {})
        ):
            return None
        rows, _ = decode(self.encoded.query_record(user))
        return np.asarray(rows, np.float32)[0, :-1]

    def forgets(self, erased_at: float | None) -> bool:
        """Whether a user has been erased after the model's interactions were read."""
        return erased_at is not None and erased_at >= self.read_at

    @property
    def read_at(self) -> float:
        """When the model's interactions were read, or shortly before."""
        manifest = self.encoded.manifest
        created = datetime.fromisoformat(manifest.created).timestamp()
        return created - manifest.seconds - CREATED_TO_THE_SECOND

    def session(self, events: Iterable[Event]) -> UserHistory:
        """The history of somebody of whom nothing but these events is known."""
        return merge_history(NOTHING, events, self.live.ordinal_of, self.weights)


class Champion:
    """Keeps the champion of a data set loaded. Safe to use from several threads.

    Parameters
    ----------
    root
        The data bucket's URI.
    table
        The recommendations' table.
    events
        The table of events, if the API takes any.
    endpoint
        What ranks large models, if they are not ranked in memory.
    names
        Names of items, if there is a file of them.
    """

    def __init__(
        self,
        root: str,
        table: str,
        dataset: str = DEFAULT,
        *,
        events: EventTable | None = None,
        endpoint: EndpointRanking | None = None,
        names: StoredNames | None = None,
        client: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events, self._endpoint = events, endpoint
        self._root, self.dataset, self.names = root, dataset, names or StoredNames()
        self._record_uri = champion.place(root, dataset)
        self._table = table
        self._client, self._clock = client, clock
        self._segments = UserSegments()
        self._lock = threading.Lock()
        self._looked_at = -REFRESH_SECONDS
        self._record: champion.Champion | None = None
        self._model: ServedModel | None = None

    def model(self) -> ServedModel:
        """The model that serves now.

        Raises
        ------
        ServiceError
            No run has published yet, or the champion's files have been deleted by age.
        FormatError
            The champion's files are not as docs/contracts.md says.
        """
        with self._lock:
            now = self._clock()
            if self._model is None or now - self._looked_at >= REFRESH_SECONDS:
                record = champion.read(self._record_uri)
                if record is None:
                    raise ServiceError(
                        f"no model of the data set {self.dataset!r} can be served: no run has published yet, or "
                        "its encoded and embedded files have been deleted by age; run the workflow"
                    )
                if record != self._record or self._model is None:
                    self._model, self._record = self._load(record), record
                self._looked_at = now
            return self._model

    def _load(self, record: champion.Champion) -> ServedModel:
        model = _load(record)
        if self._endpoint is None:
            return model
        return replace(model, live=replace(model.live, nearest=self._endpoint.nearest(model.live)))

    def report(self, run: str) -> dict[str, Any]:
        """The report of a run.

        Raises
        ------
        NotFoundError
            The run has none that can be read.
        """
        try:
            found = json.loads(object_store.read_bytes(f"{self._root}/{layout.RUNS}{run}/{layout.REPORT}"))
        except (InputError, ValueError) as error:
            raise NotFoundError(f"the report of run {run} can't be read") from error
        return found if isinstance(found, dict) else {}

    def stored(self, user_id: str) -> StoredEvents:
        """The user's events and erasure, as of now."""
        if self._events is None or len(user_id.encode()) > MAXIMUM_ID_BYTES:
            return NO_EVENTS
        return self._events.of(user_id)

    def erased(self, model: ServedModel, user_ids: Sequence[str]) -> set[str]:
        """Those of some users who have been erased since a model's interactions were read."""
        if self._events is None:
            return set()
        return {user_id for user_id, at in self._events.erasures(user_ids).items() if model.forgets(at)}

    def published(self, user_id: str) -> Published | None:
        """The user's own list in the table, if there is one."""
        found = self._find(user_key(self.dataset, user_id))
        return None if found is None else _as_published(found)

    def popular(self, segment: str | None, user_id: str | None = None) -> Published | None:
        """What is popular in a segment, or with everybody where there is no list for it.

        Parameters
        ----------
        segment
            As the caller says; where it says none, that of the user in the last run's file of segments.
        """
        everybody = None
        if not segment and user_id is not None:
            everybody = self._find(popular_key(self.dataset))
            if everybody is not None and everybody.segments_uri:
                segment = self._segments.find(user_id, everybody.segments_uri, everybody.run)
        found = self._find(popular_key(self.dataset, segment)) if segment else None
        found = found or everybody or self._find(popular_key(self.dataset))
        return None if found is None else _as_published(found)

    def _find(self, key: str) -> UserRecommendations | None:
        if len(key.encode()) > KEY_BYTES:
            return None  # the table can't have it, and DynamoDB would refuse the question
        return find(self._table, key, self._client)


def _load(record: champion.Champion) -> ServedModel:
    run = open_run(record.manifest_uri, record.embeddings_uri)
    label = run.manifest.dataset.get("label", {})
    weights = EventWeights(label.get("threshold"), label.get("event_weights") or None)
    with ThreadPoolExecutor(1, thread_name_prefix="items") as pool:
        live = pool.submit(live_model, run, record.model_version)
        users = IdLookup(run.feature_index.names(*run.manifest.ranges["user"]))
    return ServedModel(live.result(), run, users, weights, record.since)


def _as_published(found: UserRecommendations) -> Published:
    items = tuple(Answer(r.item_id, r.score, r.rank) for r in found.recommendations)
    return Published(items, found.model_version, found.run)
