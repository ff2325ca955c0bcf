"""Smoke test of the FM endpoint: scores over JSON and recordIO-protobuf, compared with the batch transform's.

The forms of requests and answers are those of SageMaker's *Factorization Machines inference formats*:
``{"instances": [{"data": {"features": {"keys", "shape", "values"}}}]}`` or a sparse record without label,
answered by ``{"predictions": [{"score": …}]}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fmrec.artifacts.encoded_run import EncodedRun, folder_of, open_encoded
from fmrec.errors import MALFORMED, FormatError, InputError, ServiceError
from fmrec.predictions.heldout import columns_of, parts, read_scores
from fmrec.recordio import Rows, read_rows
from fmrec.recordio.encode import encode_rows
from fmrec.storage import object_store

JSON = "application/json"
RECORDIO = "application/x-recordio-protobuf"
SAME = 1e-5
"""Scores that differ by less, relatively, are the same: float32 sums depend on their order."""


@dataclass(frozen=True)
class Answer:
    """What the endpoint says of one pair in both forms of a request, and what batch transform said."""

    passed: bool
    sentence: str
    user_id: str | None
    item_id: str | None
    scored: float | None
    """None where nothing was held out, so that no batch was scored."""
    as_json: float
    as_recordio: float

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def smoke_test(
    *, endpoint_name: str, manifest_uri: str, scores_uri: str | None = None, runtime: Any = None
) -> Answer:
    """Ask the endpoint for the first held-out pair's score and compare with the batch's.

    Parameters
    ----------
    scores_uri
        Folder of the batch transform's output; None where nothing was held out, then a training row is
        asked for and the two forms of the request are compared.
    runtime
        A botocore client of sagemaker-runtime; by default one made from the environment.

    Raises
    ------
    ServiceError
        The endpoint refused or failed.
    FormatError
        Its answer isn't FM's, or the rows or scores are not as encoded.
    """
    encoded = open_encoded(manifest_uri)
    row, scored = _first_pair(encoded, scores_uri)
    return compare(
        *_ids(encoded, row),
        scored,
        invoke(endpoint_name, json_request(row), JSON, runtime)[0],
        invoke(endpoint_name, recordio_request(row), RECORDIO, runtime)[0],
    )


def json_request(rows: Rows) -> bytes:
    """Sparse rows as FM takes them in JSON."""
    if rows.keys is None:
        raise InputError("dense rows: pairs are sparse, as they are encoded")
    ends = np.cumsum(rows.counts)
    instances = [
        {
            "data": {
                "features": {
                    "keys": rows.keys[end - count : end].tolist(),
                    "shape": [rows.feature_dim],
                    "values": rows.values[end - count : end].tolist(),
                }
            }
        }
        for end, count in zip(ends.tolist(), rows.counts.tolist(), strict=True)
    ]
    return json.dumps({"instances": instances}).encode()


def recordio_request(rows: Rows) -> bytes:
    """Sparse rows as recordIO-protobuf without labels."""
    return encode_rows(replace(rows, labels=None, label_type=None)).tobytes()


def invoke(
    endpoint_name: str, body: bytes, content_type: str, runtime: Any = None
) -> npt.NDArray[np.float64]:
    """The scores of a request's pairs, (pairs,).

    Raises
    ------
    ServiceError
        The endpoint refused or failed.
    FormatError
        Its answer isn't FM's.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = (runtime or _runtime()).invoke_endpoint(
            EndpointName=endpoint_name, ContentType=content_type, Accept=JSON, Body=body
        )
        text = answer["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise ServiceError(f"endpoint {endpoint_name} did not answer: {error}") from error
    try:
        scores = [float(prediction["score"]) for prediction in json.loads(text)["predictions"]]
    except MALFORMED as error:
        raise FormatError(
            f"endpoint {endpoint_name} answered {text[:200]!r}, expected predictions with a score: {error!r}"
        ) from error
    if not scores or not all(map(math.isfinite, scores)):
        raise FormatError(f"endpoint {endpoint_name} answered {text[:200]!r}, expected finite scores")
    return np.array(scores)


def compare(
    user_id: str | None, item_id: str | None, scored: float | None, as_json: float, as_recordio: float
) -> Answer:
    """Say whether all that was answered for a pair is the same score."""
    expected = as_json if scored is None else scored
    passed = all(abs(found - expected) <= SAME * max(1.0, abs(expected)) for found in (as_json, as_recordio))
    pair = f"the pair of user {user_id!r} and item {item_id!r}"
    if passed:
        what = "what the batch transform did" if scored is not None else "the same in both forms"
        sentence = f"The endpoint answers for {pair} {what}: a score of {as_json:.4f}, asked as JSON and as recordIO."
    else:
        batch = "" if scored is None else f", the batch transform {scored:.6f}"
        sentence = (
            f"The endpoint and the scores disagree for {pair}: asked as JSON it answers {as_json:.6f}, as recordIO "
            f"{as_recordio:.6f}{batch}. They are probably of different runs: wait for a running update to end, or "
            "run the workflow again."
        )
    return Answer(passed, sentence, user_id, item_id, scored, as_json, as_recordio)


def _first_pair(encoded: EncodedRun, scores_uri: str | None) -> tuple[Rows, float | None]:
    """One row, held out where there are such rows, and its score."""
    manifest, uri = encoded.manifest, encoded.manifest_uri
    if scores_uri is None:
        train = object_store.list_objects(object_store.join(folder_of(uri), manifest.train.prefix))
        return _first_row([found.uri for found in train], uri), None
    for part in parts(manifest, uri, scores_uri):
        with object_store.open_input(part.scores_uri) as text:
            scores = next(read_scores(text, part.scores_uri), None)
        if scores is not None:
            return _first_row([part.uri], uri), float(scores[0])
    raise FormatError(f"{scores_uri} has no score: the batch transform didn't finish, or is of another run")


def _first_row(uris: Sequence[str], manifest_uri: str) -> Rows:
    for uri in uris:
        with object_store.open_input(uri) as file:
            rows = next(read_rows(file), None)
        if rows is not None:
            return rows[:1]
    raise FormatError(f"there is no encoded row next to {manifest_uri}: encode the data again")


def _ids(encoded: EncodedRun, row: Rows) -> tuple[str | None, str | None]:
    found: list[str | None] = []
    for namespace in ("user", "item"):
        column = int(columns_of(row, *encoded.manifest.ranges[namespace])[0])
        found.append(encoded.feature_index.names(column, column + 1)[0].as_py() if column >= 0 else None)
    return found[0], found[1]


def _runtime() -> Any:
    import boto3

    return boto3.client("sagemaker-runtime")
