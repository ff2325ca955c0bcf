"""Content types and Accept headers, read as the images' serving layer reads them.

Types are lower-cased, parameters split on ``;`` and ``=`` and trimmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

JSON = "application/json"
JSON_LINES = "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"
CSV = "text/csv"


@dataclass(frozen=True)
class MediaType:
    """``name`` such as application/json, and its parameters such as ``{"verbose": "true"}``."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> MediaType:
        name, *parts = text.lower().split(";")
        pairs = (part.partition("=") for part in parts if part.strip())
        return cls(name.strip(), {key.strip(): value.strip() for key, _, value in pairs})

    def is_true(self, parameter: str) -> bool:
        return self.parameters.get(parameter) == "true"


def choose_reply_type(accept: str | None, offered: Sequence[str], default: str) -> MediaType | None:
    """The first type of an Accept header that is offered; None if there is none.

    No header, ``*/*`` and ``application/*`` leave the choice to ``default``.
    """
    for part in (accept or default).split(","):
        media_type = MediaType.parse(part)
        if media_type.name in ("*/*", "application/*"):
            return MediaType.parse(default)
        if media_type.name in offered:
            return media_type
    return None
