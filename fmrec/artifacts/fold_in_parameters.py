"""folding_in.json: with which λ and c users are folded into a model, and on whom they were chosen.

export_embeddings writes it next to embeddings.json (`fmrec.live.choosing_step`); the API and `fmrec.live`
read it. Models of earlier versions have none, and get the defaults.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from fmrec.artifacts import layout
from fmrec.dataset.section import Section
from fmrec.errors import FormatError
from fmrec.storage import object_store

REGULARIZATION, NEGATIVE_WEIGHT = 2.0, 0.05
"""Where nothing was chosen: near the best of three seeds on MovieLens 100k."""


class Basis(StrEnum):
    """On whom λ and c were chosen."""

    LEFT_OUT = "left-out"
    """Users whom training never saw."""
    TRAINED = "trained"
    """Users whom training saw, on interactions that it didn't see."""
    DEFAULT = "default"
    """Nobody: there were too few users to choose on, or too many items."""


@dataclass(frozen=True)
class Trial:
    """One pair of λ and c, and NDCG@10 of lists from the whole history and from five interactions."""

    regularization: float
    negative_weight: float
    ndcg_at_10: float
    ndcg_at_10_of_5: float

    @property
    def score(self) -> float:
        return (self.ndcg_at_10 + self.ndcg_at_10_of_5) / 2


@dataclass(frozen=True)
class FoldingIn:
    """λ and c of a model, and how they were chosen."""

    regularization: float = REGULARIZATION
    negative_weight: float = NEGATIVE_WEIGHT
    basis: Basis = Basis.DEFAULT
    users: int = 0
    """How many users they were chosen on."""
    why: str = ""
    """Why they are the defaults, where they are."""
    trials: tuple[Trial, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """The content of folding_in.json."""
        return asdict(self) | {"trials": [asdict(trial) for trial in self.trials]}


DEFAULTS = FoldingIn(why="the model was exported by an earlier version, which chose nothing")


def folding_in_uri(embeddings_uri: str) -> str:
    """Where the file is, next to embeddings.json."""
    return object_store.join(embeddings_uri.rsplit("/", 1)[0], layout.FOLDING_IN)


def write_folding_in(found: FoldingIn, embeddings_uri: str) -> None:
    text = json.dumps(found.to_document(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    object_store.write_bytes(folding_in_uri(embeddings_uri), text.encode())


def read_folding_in(embeddings_uri: str) -> FoldingIn:
    """Return what was chosen for the model of an embeddings.json; `DEFAULTS` where there is no file.

    Raises
    ------
    FormatError
        The file is not as docs/contracts.md says.
    """
    uri = folding_in_uri(embeddings_uri)
    if not object_store.is_listed(uri):
        return DEFAULTS
    section = read_exported(uri)
    return FoldingIn(
        section.number("regularization", above=0),
        section.number("negative_weight", above=0),
        Basis(section.choice("basis", tuple(Basis))),
        section.integer("users", 0, least=0),
        str(section.take("why", "")),
        tuple(_trial(each) for each in section.sections("trials")),
    )


def read_exported(uri: str) -> Section:
    """Return a document that export_embeddings has written.

    Raises
    ------
    FormatError
        It is no JSON object.
    """
    try:
        document = json.loads(object_store.read_bytes(uri))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{uri} is not JSON: export the embeddings again") from error
    return Section(document, uri, FormatError)


def _trial(section: Section) -> Trial:
    weights = (section.number(name, above=0) for name in ("regularization", "negative_weight"))
    figures = (section.number(name, least=0, most=1) for name in ("ndcg_at_10", "ndcg_at_10_of_5"))
    return Trial(*weights, *figures)
