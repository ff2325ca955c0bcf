"""What a live answer needs of one run, in memory: item vectors, ids, popularity, attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.embedded_run import Run, Vectors, open_run
from fmrec.artifacts.fold_in_parameters import FoldingIn
from fmrec.artifacts.id_lookup import Ids, Ordinals
from fmrec.errors import FormatError, NotFoundError
from fmrec.live.attributes import Attribute, EncodedAttributes
from fmrec.live.fold_in import FoldIn

DICTIONARY_ITEMS = 200_000
"""Items up to which their ordinals are kept in a dictionary, which is the fastest."""
Nearest = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]
"""Ordinals of the items with the best scores for a vector (k,), best first: as many as there are."""


@dataclass(frozen=True)
class LiveModel:
    """One model as the API serves it."""

    run: str
    model_version: str
    item_ids: Sequence[str]
    """By ordinal."""
    fold_in: FoldIn
    interactions: npt.NDArray[np.int64]
    """(items,) how often each item was interacted with in training."""
    bias: float = 0.0
    """w_0, which is part of the items' offsets."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """What items are, by the attribute's name, to filter by."""
    nearest: Nearest | None = None
    """Ranks in place of a pass over all items, where there are too many."""

    @cached_property
    def ordinal_of(self) -> Mapping[str, int]:
        """Ordinals by id: a dictionary of a million ids takes longer to make than their vectors to read."""
        if isinstance(self.item_ids, Ids) and len(self.item_ids) > DICTIONARY_ITEMS:
            return Ordinals(self.item_ids)
        return {item: ordinal for ordinal, item in enumerate(self.item_ids)}

    def ordinal(self, item_id: str) -> int:
        """The item's ordinal.

        Raises
        ------
        NotFoundError
            The model doesn't know it.
        """
        found = self.ordinal_of.get(item_id)
        if found is None:
            raise NotFoundError(
                f"item {item_id!r} is not in model {self.model_version}: it was not in the interactions that the "
                "model was trained on"
            )
        return found


def open_live_model(
    manifest_uri: str,
    embeddings_uri: str,
    model_version: str,
    *,
    folding_in: FoldingIn | None = None,
) -> LiveModel:
    """Load a run's items. Parameters and errors as for `live_model`."""
    run = open_run(manifest_uri, embeddings_uri)
    return live_model(run, model_version, folding_in=folding_in)


def live_model(
    run: Run,
    model_version: str,
    *,
    folding_in: FoldingIn | None = None,
) -> LiveModel:
    """Load the items of a run that is open.

    Parameters
    ----------
    folding_in
        λ and c; by default those that were chosen for the model.

    Raises
    ------
    FormatError
        A file is not as docs/contracts.md says, or the embeddings were exported without ``bias``.
    """
    columns = run.manifest.ranges["item"]
    # Vectors are most of what is to be read, and what is computed of them needs no interpreter.
    with ThreadPoolExecutor(1, thread_name_prefix="vectors") as pool:
        fold_in = pool.submit(_prepared_fold_in, run, folding_in or run.folding_in)
        names = run.feature_index.names(*columns)
        interactions = run.feature_index.interactions(*columns)
    return LiveModel(
        run.manifest.run,
        model_version,
        Ids(names),
        fold_in.result(),
        interactions,
        float(run.bias or 0),
        EncodedAttributes(run),
    )


def _prepared_fold_in(run: Run, folding_in: FoldingIn) -> FoldIn:
    fold_in = open_fold_in(run, folding_in)
    fold_in.prepare()
    return fold_in


def open_fold_in(run: Run, folding_in: FoldingIn, vectors: Vectors | None = None) -> FoldIn:
    """What folds users into a run's items.

    Parameters
    ----------
    vectors
        The run's item vectors, where they have been read.

    Raises
    ------
    FormatError
        The embeddings were exported without ``bias``, or a file is not as docs/contracts.md says.
    """
    if run.bias is None:
        raise FormatError(
            f"{run.embeddings_uri} has no 'bias': it was exported by an earlier version; export it again"
        )
    vectors = run.item_vectors() if vectors is None else vectors
    return FoldIn(
        vectors[:, :-1],
        vectors[:, -1] + np.float32(run.bias),
        folding_in.regularization,
        folding_in.negative_weight,
        machines=run.machine_factors,
        pick_weights=run.pick_weights(),
    )
