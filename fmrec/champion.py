"""The champion: the model whose lists are served now, as ``champion/model.json`` records it.

The workflow writes it when a run has published and ended well; the next run is judged beside it
(`fmrec.ranking.step`). A run that fails leaves it as it is.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from fmrec import objectstore
from fmrec.errors import FormatError


@dataclass(frozen=True)
class Champion:
    """What serves, and where its manifest.json and embeddings.json are."""

    run: str
    task: str
    model_version: str
    model_uri: str
    manifest_uri: str
    embeddings_uri: str

    @property
    def places(self) -> dict[str, str]:
        """What `fmrec.ranking.step.evaluate` asks for."""
        return {"manifest_uri": self.manifest_uri, "embeddings_uri": self.embeddings_uri}


def write(champion: Champion, uri: str) -> None:
    """Record what serves from now on."""
    objectstore.write_bytes(uri, (json.dumps(asdict(champion), indent=2) + "\n").encode())


def read(uri: str) -> Champion | None:
    """Return what serves; None if no run has published yet, or its files have been deleted by age.

    Raises
    ------
    FormatError
        The record can't be read.
    """
    if not _exists(uri):
        return None
    try:
        document = json.loads(objectstore.read_bytes(uri))
        found = Champion(**{field.name: str(document[field.name]) for field in fields(Champion)})
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{uri} is no record of the model that serves ({error!r}): delete it, and the next run is judged "
            "beside popularity alone"
        ) from error
    return found if _exists(found.manifest_uri) and _exists(found.embeddings_uri) else None


def _exists(uri: str) -> bool:
    """Look into the folder: S3 answers "denied" for a missing object to roles that may list only prefixes."""
    folder = uri.rsplit("/", 1)[0]
    return any(stored.uri == uri for stored in objectstore.list_objects(folder))
