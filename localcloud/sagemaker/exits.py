"""How a program's end reads as a training job's ``FailureReason``.

Exit codes as in SageMaker's own containers: 1 the algorithm's fault, 2 the customer's, 3 the platform's; 137
is what a container reports that was killed (SageMaker developer guide, "How Amazon SageMaker signals
algorithm success and failure").
"""

from __future__ import annotations

import pathlib
import signal

from localcloud.sagemaker.children import Child
from localcloud.sagemaker.platform import FAILURE_REASON_LENGTH


def exit_reason(child: Child, returncode: int, failure: pathlib.Path) -> str:
    """``FailureReason`` of a training program that ended badly.

    Parameters
    ----------
    returncode
        Not 0; negative for a signal.
    failure
        ``output/failure``, which the program may have written.
    """
    text = failure.read_text(encoding="utf-8", errors="replace").strip() if failure.is_file() else ""
    if child.out_of_memory:
        return (
            "AlgorithmError: Please use an instance type with more memory, or reduce the size of training data "
            "processed on an instance., exit code: 137"
        )
    if returncode < 0:
        killer = signal.Signals(-returncode).name
        text = text or f"the algorithm's process was killed by signal {-returncode} ({killer})"
        return f"AlgorithmError: {text}, exit code: {128 - returncode}"
    kind = {2: "ClientError", 3: "InternalServerError"}.get(returncode, "AlgorithmError")
    text = text.removeprefix(f"{kind}: ")  # the stand-ins write it themselves
    if returncode == 3:
        return f"{kind}: {text or 'We encountered an internal error. Please try again.'}"
    return f"{kind}: {text[: FAILURE_REASON_LENGTH - 60]}, exit code: {returncode}"
