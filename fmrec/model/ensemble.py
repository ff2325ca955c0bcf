"""Several factorization machines of the same features as one: its score is the average of theirs.

An average of inner products is an inner product again. With S machines' vectors next to each other, each
divided by √S, and their constants averaged, ``<p_A, p_B> + c_B`` is the average of the machines' own. So an
ensemble makes one index of S·k + 1 dimensions, and nothing that reads the index needs to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmrec.errors import InputError
from fmrec.model.factorization_machine import FactorizationMachine


class Ensemble:
    """One machine or several, which must be of the same features and the same kind.

    Parameters
    ----------
    machines
        At least one.

    Raises
    ------
    InputError
        They have different numbers of features or different predictor types.
    """

    def __init__(self, machines: Sequence[FactorizationMachine]) -> None:
        if not machines:
            raise InputError("there is no model: expected at least one")
        self._machines = tuple(machines)
        first = machines[0]
        for number, other in enumerate(machines[1:], 2):
            for name in ("feature_dim", "predictor_type"):
                if getattr(other, name) != getattr(first, name):
                    raise InputError(
                        f"model {number} of the ensemble has the {name} {getattr(other, name)}, the first one "
                        f"{getattr(first, name)}: they are not of the same run"
                    )

    @property
    def feature_dim(self) -> int:
        return self._machines[0].feature_dim

    @property
    def num_factors(self) -> int:
        """Of all machines together."""
        return sum(machine.num_factors for machine in self._machines)

    @property
    def machine_factors(self) -> tuple[int, ...]:
        """Of each machine."""
        return tuple(machine.num_factors for machine in self._machines)

    @property
    def bias(self) -> float:
        return math.fsum(machine.bias for machine in self._machines) / len(self._machines)

    def parameters(self, first: int, end: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Vectors (rows, num_factors) and constants (rows,) of features ``first`` to ``end``, each alone."""
        own = slice(first, end)
        return self._together([(machine.factors[own], machine.linear[own]) for machine in self._machines])

    def fold(self, rows: Any) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Fold each row's features into one vector and one constant (`FactorizationMachine.fold`)."""
        return self._together([machine.fold(rows) for machine in self._machines])

    def _together(
        self, folded: list[tuple[NDArray[Any], NDArray[Any]]]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        count = len(folded)
        constants = sum(constant.astype(np.float64) for _, constant in folded) / count
        vectors = folded[0][0] if count == 1 else np.hstack([p / math.sqrt(count) for p, _ in folded])
        return vectors, np.asarray(constants, np.float64)
