"""Ask a k-NN endpoint: ``{"predictions": [{"labels", "distances", "predicted_label"}]}``, best last."""

from __future__ import annotations

import io
import json
from typing import Any

from fmrec.errors import MALFORMED, FormatError, ServiceError
from fmrec.recommendations.knn_output import Neighbours, read_neighbours


def ask(endpoint_name: str, record: bytes, items: int, runtime: Any) -> Neighbours:
    """The endpoint's neighbours of one query record, best first, shapes (1, k).

    Parameters
    ----------
    record
        The query in recordIO-protobuf.
    items
        Number of items in the index.
    runtime
        A botocore client of sagemaker-runtime.

    Raises
    ------
    ServiceError
        The endpoint refused or failed.
    FormatError
        Its answer isn't k-NN's verbose one.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint_name,
            ContentType="application/x-recordio-protobuf",
            Accept="application/json; verbose=true",
            Body=record,
        )
        text = answer["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise ServiceError(f"endpoint {endpoint_name} did not answer: {error}") from error
    try:
        (prediction,) = json.loads(text)["predictions"]
    except MALFORMED as error:
        raise FormatError(
            f"endpoint {endpoint_name} answered {text[:200]!r}, expected one k-NN prediction: {error!r}"
        ) from error
    # A prediction has the form of one line of the batch transform's output.
    line = io.BytesIO(json.dumps(prediction).encode())
    (neighbours,) = read_neighbours(line, f"the answer of endpoint {endpoint_name}", items)
    return neighbours
