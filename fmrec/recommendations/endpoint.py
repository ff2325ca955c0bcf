"""Ask the k-NN endpoint one question and compare its answer with what is published.

The request is JSON with ``Accept: application/json; verbose=true``, which gives
``{"predictions": [{"labels", "distances", "predicted_label"}]}``, ascending, best last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.errors import FormatError, ServiceError
from fmrec.recommendations.neighbours import Neighbours, in_order

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


def invoke(endpoint_name: str, query: npt.NDArray[np.float32], runtime: Any = None) -> Neighbours:
    """The endpoint's neighbours of one query vector, best first, shapes (1, k).

    Raises
    ------
    ServiceError
        The endpoint refused or failed.
    FormatError
        Its answer isn't k-NN's verbose one.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    body = {"instances": [{"features": [float(value) for value in query]}]}
    try:
        answer = (runtime or _runtime()).invoke_endpoint(
            EndpointName=endpoint_name,
            ContentType="application/json",
            Accept="application/json; verbose=true",
            Body=json.dumps(body),
        )
        text = answer["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise ServiceError(f"endpoint {endpoint_name} did not answer: {error}") from error
    try:
        prediction = json.loads(text)["predictions"][0]
        items = np.array([prediction["labels"]], dtype=np.float64).astype(np.int64)
        products = np.array([prediction["distances"]], dtype=np.float64)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise FormatError(
            f"endpoint {endpoint_name} answered {text[:200]!r}, expected k-NN's verbose predictions: {error!r}"
        ) from error
    if items.shape != products.shape or items.size == 0:
        raise FormatError(
            f"endpoint {endpoint_name} answered {items.size} labels and {products.size} distances"
        )
    return in_order(items, products)


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
    """
    product_of = dict(zip(answered, products, strict=True))
    wrong = ""
    if not published:
        wrong = "nothing is published for this user"
    elif len(answered) < len(published):
        wrong = f"the endpoint answers {len(answered)} items, {len(published)} are published"
    for rank, item in enumerate(published if not wrong else (), 1):
        here = products[rank - 1]
        if item not in product_of:
            wrong = f"item {item!r}, published at rank {rank}, is not in the endpoint's answer"
            break
        if abs(product_of[item] - here) > TIE * max(1.0, abs(here)):
            wrong = f"rank {rank} is {item!r} in the table and {answered[rank - 1]!r} at the endpoint"
            break
    agreed = tuple(answered[: len(published)])
    if wrong:
        sentence = (
            f"The endpoint and the table disagree for user {user_id!r}: {wrong}. They are probably of different "
            "runs: wait for a running update to end, or run the workflow again."
        )
    else:
        sentence = (
            f"The endpoint answers for user {user_id!r} what the table serves: the same "
            f"{len(published)} items in the same order."
        )
    return Answer(not wrong, sentence, user_id, tuple(published), agreed)


def _runtime() -> Any:
    import boto3

    return boto3.client("sagemaker-runtime")
