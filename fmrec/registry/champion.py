"""The champion: the model whose lists are served now, as ``champion/model.json`` records it.

The workflow writes it when a `recommend` run has published and ended well; the next run is compared with it
(`fmrec.ranking.evaluation_step`). A run that fails leaves it as it is. ``champion/history/`` keeps one file
for each execution that has changed what serves, and each champion names the one before it: that is where a
rollback goes, and it goes one further back when it is repeated.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from fmrec.artifacts import layout
from fmrec.dataset.names import DEFAULT, infix
from fmrec.registry.served_encoding import read_record
from fmrec.storage import object_store


@dataclass(frozen=True)
class Champion:
    """What serves, and where its manifest.json and embeddings.json are."""

    run: str
    task: str
    model_version: str
    model_uri: str
    manifest_uri: str
    embeddings_uri: str
    model_package_arn: str = ""
    """Its version in SageMaker Model Registry."""
    execution_arn: str = ""
    """The execution that has made it serve: its own run, or a promotion."""
    since: str = ""
    """When that was, in ISO 8601."""
    kept_at: str = ""
    """Where the history keeps this record."""
    previous: str = ""
    """Where the history keeps the champion before; empty if there was none."""

    @property
    def places(self) -> dict[str, str]:
        """What `fmrec.ranking.evaluation_step.evaluate` asks for."""
        return {"manifest_uri": self.manifest_uri, "embeddings_uri": self.embeddings_uri}

    @property
    def execution(self) -> str:
        """Name of the execution that has made it serve; its run where that isn't recorded."""
        return self.execution_arn.rpartition(":")[2] or self.run


def place(root: str, dataset: str = DEFAULT) -> str:
    """Where a data set's champion is recorded under the data bucket's URI."""
    return object_store.join(root, f"{layout.CHAMPION}{infix(dataset, '/')}{layout.MODEL_RECORD}")


def promote(champion: Champion, uri: str, *, previous: str | None = None) -> Champion:
    """Record what serves from now on, and keep the record of what served before; return the new record.

    Doing it again for the same execution changes nothing. A model that serves already stays behind the
    champion before it.

    Parameters
    ----------
    champion
        What serves, with its ``execution_arn``; ``since``, ``kept_at`` and ``previous`` are filled in.
    uri
        ``champion/model.json``.
    previous
        For a rollback, the ``previous`` of the champion that is gone back to; by default what serves until
        now is the champion before.
    """
    serving = recorded(uri)
    if serving is not None and serving.execution_arn == champion.execution_arn != "":
        return serving
    if previous is None:
        previous = ""
        if serving is not None:
            same = serving.model_version == champion.model_version
            previous = serving.previous if same else serving.kept_at
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%SZ}-{champion.execution}.json"
    new = replace(
        champion,
        since=now.isoformat(timespec="seconds"),
        kept_at=object_store.join(uri.rsplit("/", 1)[0], layout.CHAMPION_HISTORY, name),
        previous=previous,
    )
    # The history first: a champion must not name a file that isn't there.
    for place_of_record in (new.kept_at, uri):
        object_store.write_bytes(place_of_record, (json.dumps(asdict(new), indent=2) + "\n").encode())
    return new


def read(uri: str) -> Champion | None:
    """Return what serves; None if no run has published yet, or its files have been deleted by age.

    Raises
    ------
    FormatError
        The record can't be read.
    """
    found = recorded(uri)
    if found is None:
        return None
    return (
        found
        if object_store.is_listed(found.manifest_uri) and object_store.is_listed(found.embeddings_uri)
        else None
    )


def recorded(uri: str) -> Champion | None:
    """Return a record, whether or not its files are still there; None if there is no record.

    Raises
    ------
    FormatError
        The record can't be read.
    """
    return read_record(uri, _champion, "judged against popularity alone")


def _champion(document: Any) -> Champion:
    wanted = (field.name for field in fields(Champion) if field.default is MISSING or field.name in document)
    return Champion(**{name: str(document[name]) for name in wanted})
