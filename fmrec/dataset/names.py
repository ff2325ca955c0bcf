"""The name of a data set: what belongs to it is kept apart from all other data sets of a deployment.

A data set has one champion, one set of lists, one model package group per task and one endpoint per task. The
data set named `DEFAULT` has the short names (``champion/model.json``, ``fmrec-knn``), which it had before
data sets were named; what belongs to another one has its name in between (``champion/books/model.json``,
``fmrec-books-knn``).
"""

from __future__ import annotations

import re
from typing import Any

from fmrec.errors import SettingsError

DEFAULT = "default"
MAXIMUM_CHARACTERS = 32
"""Names of endpoints and model package groups have room for 63 characters in all."""
PATTERN = re.compile(r"[a-z](-?[a-z0-9])*")
RESERVED = ("history",)
"""Folders under ``champion/`` that are no data set's."""


def check_name(name: Any) -> str:
    """Return a data set's name.

    Raises
    ------
    SettingsError
        It can't be part of the names of AWS resources.
    """
    if (
        not isinstance(name, str)
        or len(name) > MAXIMUM_CHARACTERS
        or not PATTERN.fullmatch(name)
        or name in RESERVED
    ):
        raise SettingsError(
            f"name is {str(name)[:80]!r}: expected a name for the data set of at most {MAXIMUM_CHARACTERS} "
            f"lower-case letters, digits and single hyphens that begins with a letter, other than "
            f"{', '.join(RESERVED)}"
        )
    return name


def infix(name: str, separator: str) -> str:
    """What stands for a data set in the middle of a name: nothing for `DEFAULT`."""
    return "" if name == DEFAULT else f"{name}{separator}"
