"""Keys of the recommendations' table: one per user and one per list of what is popular, for each data set.

===========================  =====================  =======================
key                          data set `default`     another one, ``books``
===========================  =====================  =======================
user ``42``                  ``42``                 ``/books/42``
user whose id begins with    ``/default/*x``        ``/books/*x``
``*`` or ``/``, such as ``*x``
popular with everybody       ``*``                  ``/books*``
popular in segment ``young``  ``*young``            ``/books*young``
===========================  =====================  =======================

No two of them are alike, whatever ids look like: a bare key begins with neither ``/`` nor, unless it is a
list of what is popular, with ``*``, and names of data sets hold neither.
"""

from __future__ import annotations

from fmrec.dataset.names import DEFAULT

POPULAR = "*"
"""Begins the key of a list of what is popular; the segment follows, if it is one's."""


def user_key(dataset: str, user_id: str) -> str:
    """Where a user's own list is."""
    if dataset == DEFAULT and not user_id.startswith(("/", POPULAR)):
        return user_id
    return f"/{dataset}/{user_id}"


def popular_key(dataset: str, segment: str = "") -> str:
    """Where the list is for users whom the model doesn't know: everybody's, or a segment's."""
    return f"{'' if dataset == DEFAULT else f'/{dataset}'}{POPULAR}{segment}"


def split_key(key: str) -> tuple[str, str]:
    """The data set and the rest of a key: a user's id, or ``*`` and a segment.

    Only the key says which of the two it is: an id may begin with ``*`` as well.
    """
    if not key.startswith("/"):
        return DEFAULT, key
    end = min(at for at in (key.find("/", 1), key.find(POPULAR), len(key)) if at > 0)
    return key[1:end], key[end:].removeprefix("/")
