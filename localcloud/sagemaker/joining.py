"""Batch transform's ``JoinSource: Input`` for JSON Lines: each input line followed by its answer.

Follows the developer guide (batch-transform-data-processing): the answer goes into the attribute
``SageMakerOutput``; input that isn't an object goes into ``SageMakerInput``.
"""

from __future__ import annotations

import json

from localcloud.sagemaker.platform import JobError


def join_lines(payload: bytes, answer: bytes, where: str) -> bytes:
    """The joined lines of one request.

    Raises
    ------
    JobError
        Not one answer per line, or a line isn't JSON.
    """
    lines = [line for line in payload.splitlines() if line.strip()]
    answers = [line for line in answer.splitlines() if line.strip()]
    if len(lines) != len(answers):
        raise JobError(
            f"ClientError: {where}: can't join {len(lines)} input lines with {len(answers)} lines of output"
        )
    joined = []
    for line, output in zip(lines, answers, strict=True):
        try:
            document, result = json.loads(line), json.loads(output)
        except ValueError as error:
            raise JobError(f"ClientError: {where}: a line to join is not JSON: {error}") from error
        if not isinstance(document, dict):
            document = {"SageMakerInput": document}
        joined.append(json.dumps(document | {"SageMakerOutput": result}, separators=(",", ":")))
    return "".join(f"{line}\n" for line in joined).encode()
