"""How a container says that training failed: exit code and ``output/failure``.

Exit 1 is the algorithm's fault, 2 the customer's, 3 the platform's. SageMaker shows the failure
file's text as the training job's FailureReason.
"""

from __future__ import annotations

from pathlib import Path

from fmrec.errors import FmrecError, InputError

ALGORITHM_EXIT = 1
CUSTOMER_EXIT = 2
PLATFORM_EXIT = 3


class AlgorithmError(FmrecError):
    """Training ran and came to nothing, for example because it diverged."""


class PlatformError(FmrecError):
    """What the platform should have laid out is missing or broken."""


def classify(error: BaseException) -> tuple[int, str]:
    """Exit code and failure text of an error."""
    if isinstance(error, InputError):
        return CUSTOMER_EXIT, f"ClientError: {error}"
    if isinstance(error, PlatformError | OSError):
        return PLATFORM_EXIT, f"InternalServerError: {error}"
    if isinstance(error, MemoryError):
        return ALGORITHM_EXIT, (
            f"AlgorithmError: out of memory ({error}): use an instance type with more memory, or a smaller "
            "num_factors or feature_dim"
        )
    return ALGORITHM_EXIT, f"AlgorithmError: {error or type(error).__name__}"


def write_failure(root: Path, text: str) -> None:
    """Leave ``output/failure`` for SageMaker to read."""
    folder = root / "output"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure").write_text(text, encoding="utf-8")
