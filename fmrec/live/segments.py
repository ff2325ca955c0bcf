"""Which segment a user belongs to, from the file that the last run counted segments by.

The list for everybody in the recommendations' table names the file; it is read when somebody of whom nothing
else is known asks for the first time.
"""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
from aws_lambda_powertools import Logger

from fmrec.artifacts.id_lookup import IdLookup
from fmrec.errors import FmrecError

logger = Logger(service="api")


class UserSegments:
    """Segments by user, of one file at a time. Safe to use from several threads.

    A file that can't be read is logged, and says nothing of anybody until another run has published.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: tuple[str, str] | None = None
        self._found: tuple[IdLookup, pa.Array] | None = None

    def find(self, user_id: str, uri: str, run: str) -> str | None:
        """The user's segment; None if the file doesn't name the user.

        Parameters
        ----------
        uri
            The file, a CSV with the header ``user_id,segment``; of several rows of a user the last counts.
        run
            The run that has read it: the file is read again when another one has.
        """
        with self._lock:
            if self._of != (uri, run) or self._found is None:
                self._of, self._found = (uri, run), _read(uri)
            users, segments = self._found
            place = users.find(user_id)
            return None if place is None else str(segments[place].as_py())


def _read(uri: str) -> tuple[IdLookup, pa.Array]:
    # Only deployments with segments need its reader of CSV, which takes a while to import.
    from fmrec.recommendations.id_files import read_columns

    try:
        users, segments = read_columns(uri, ("user_id", "segment"))
    except FmrecError as error:
        logger.warning("users' segments can't be read", extra={"reason": str(error)})
        users = segments = pa.array([], pa.string())
    encoded = users.dictionary_encode()
    last_row = np.zeros(len(encoded.dictionary), np.int64)
    last_row[encoded.indices.to_numpy()] = np.arange(len(users))  # of equal indices the last value stays
    return IdLookup(encoded.dictionary), segments.dictionary_encode().take(pa.array(last_row))
