"""Smoke test of the k-NN endpoint: its answer for one user is compared with what is published.

The request is the very recordIO-protobuf record that the batch transform got; with
``Accept: application/json; verbose=true`` the answer is
``{"predictions": [{"labels", "distances", "predicted_label"}]}``, ascending, best last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from fmrec.artifacts.embedded_run import open_run
from fmrec.recommendations.filters import read_rules
from fmrec.recommendations.knn_endpoint import ask
from fmrec.recommendations.selection import select
from fmrec.recommendations.table import fetch

TIE = 1e-5
"""Products that differ by less, relatively, count as equal: float32 sums depend on their order."""


@dataclass(frozen=True)
class Answer:
    """Whether the endpoint and the table agree for one user."""

    passed: bool
    sentence: str
    user_id: str
    published: tuple[str, ...]
    answered: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def smoke_test(
    *,
    endpoint_name: str,
    manifest_uri: str,
    embeddings_uri: str,
    table: str,
    user: int = 0,
    exclude_seen: bool = False,
    filters: Mapping[str, Any] | None = None,
    runtime: Any = None,
    dynamodb: Any = None,
) -> Answer:
    """Ask the endpoint for one user's neighbours and compare them with what the table serves.

    Parameters
    ----------
    user
        User ordinal, from 0.
    exclude_seen, filters
        As they were published with: the endpoint knows neither.
    runtime, dynamodb
        botocore clients of sagemaker-runtime and dynamodb; by default made from the environment.

    Raises
    ------
    ServiceError
        The endpoint or the table refused or failed.
    InputError
        There is no such user, or nothing is published for them.
    FormatError
        The endpoint's answer isn't k-NN's verbose one.
    """
    run = open_run(manifest_uri, embeddings_uri)
    index = run.feature_index
    found = ask(endpoint_name, run.query_record(user), run.manifest.items, runtime or _runtime())
    column = run.manifest.ranges["user"][0] + user
    user_id = index.names(column, column + 1)[0].as_py()
    served = fetch(table, user_id, dynamodb, dataset=run.manifest.dataset_name)
    rules = read_rules(filters, run.manifest, index) if filters else None
    seen = run.seen(user, user + 1) if exclude_seen else None
    found, _ = select(found, found.items.shape[1], seen, rules)
    ranked = found.items[0] >= 0
    item_ids = index.names(*run.manifest.ranges["item"]).take(pa.array(found.items[0, ranked])).to_pylist()
    published = [recommendation.item_id for recommendation in served.recommendations]
    return compare(user_id, published, item_ids, found.products[0, ranked].tolist())


def compare(
    user_id: str, published: Sequence[str], answered: Sequence[str], products: Sequence[float]
) -> Answer:
    """Compare the published order with the endpoint's, where equal products may change places.

    Parameters
    ----------
    published
        Item ids of the table, best first.
    answered, products
        The endpoint's item ids and their products, best first, without what may not be recommended.
        Where few are left, because the user interacted with most of them, only those are compared.
    """
    product_of = dict(zip(answered, products, strict=True))
    wrong = ""
    if not published:
        wrong = "nothing is published for this user"
    elif not answered:
        wrong = "the endpoint answers only items that this user may not get"
    compared = published[: len(answered)]
    for rank, item in enumerate(compared if not wrong else (), 1):
        here = products[rank - 1]
        if item not in product_of:
            wrong = f"item {item!r}, published at rank {rank}, is not in the endpoint's answer"
            break
        if abs(product_of[item] - here) > TIE * max(1.0, abs(here)):
            wrong = f"rank {rank} is {item!r} in the table and {answered[rank - 1]!r} at the endpoint"
            break
    if wrong:
        sentence = (
            f"The endpoint and the table disagree for user {user_id!r}: {wrong}. They are probably of different "
            "runs: wait for a running update to end, or run the workflow again."
        )
    else:
        sentence = (
            f"The endpoint answers for user {user_id!r} what the table serves: the same "
            f"{len(compared)} items in the same order."
        )
    return Answer(not wrong, sentence, user_id, tuple(published), tuple(answered[: len(published)]))


def _runtime() -> Any:
    import boto3

    return boto3.client("sagemaker-runtime")
