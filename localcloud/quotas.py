"""The account's quotas: the values that are enforced.

A quotas file is JSON, quota name → applied value; a name that is missing is unknown, which never refuses.
Presets lie in ``localcloud/presets/``:

``new-account``
    What a brand-new account is like (facts/quotas-instances-prices.md §1.2: nearly all zero), with just enough
    for the demo. Training: one ml.m5.large or ml.m5.xlarge, two instances in all. Batch transform: ml.m5.large
    is 0 and ml.m5.xlarge 1, so that the step falls back. Endpoints: ml.m5.large 4 (as seen in London in 2026),
    ml.m5.xlarge 1, and ml.m5.2xlarge, which the k-NN page suggests, 0. Serverless: concurrency 10, 3072 MB.
``small``
    A little-used account: ml.m5 up to 4xlarge, a few c5, r5 and spot instances.
``large``
    An established account's values of about 2023 (§1.1 and §1.2), and guesses for the newer m6i and r6i.
"""

from __future__ import annotations

import json
import pathlib
import threading
from typing import Any

from localcloud.faults import ServiceFault

_PRESETS = pathlib.Path(__file__).with_name("presets")


class Quotas:
    """Thread-safe quota values by name."""

    def __init__(self, values: dict[str, float]) -> None:
        self._lock = threading.Lock()
        self._values = _checked(values)

    @classmethod
    def from_source(cls, source: str | pathlib.Path) -> Quotas:
        """Read a preset (``new-account``, ``small``, ``large``) or a quotas file.

        Raises
        ------
        FileNotFoundError
            There is neither a preset nor a file of that name.
        ValueError
            The file isn't a JSON object of numbers at or above 0.
        """
        preset = _PRESETS / f"{source}.json"
        path = preset if preset.is_file() else pathlib.Path(source)
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in _PRESETS.glob("*.json")))
            raise FileNotFoundError(f"{source} is neither a quotas file nor one of the presets {known}")
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, ServiceFault) as error:
            raise ValueError(f"{path} is not a quotas file (JSON, quota name to value): {error}") from error

    def value(self, name: str) -> float | None:
        """The applied value, or None when it is unknown."""
        with self._lock:
            return self._values.get(name)

    def as_dict(self) -> dict[str, float]:
        """All values by name."""
        with self._lock:
            return dict(self._values)

    def put(self, values: Any) -> dict[str, float]:
        """Replace all values, and return them.

        Raises
        ------
        ServiceFault
            ``ValidationException``: not an object of numbers at or above 0.
        """
        checked = _checked(values)
        with self._lock:
            self._values = checked
        return dict(checked)


def _checked(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        raise ServiceFault("ValidationException", "quotas must be a JSON object, quota name to value")
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not value >= 0:
            raise ServiceFault(
                "ValidationException", f"quota {name!r} must have a value at or above 0, found {value!r}"
            )
    return {str(name): float(value) for name, value in values.items()}
