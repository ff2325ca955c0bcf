"""A trained factorization machine: parameters, SageMaker's artifact, scores, and the vectors that rank as it
does.
"""

from fmrec.model.factorization_machine import FactorizationMachine

__all__ = ["FactorizationMachine"]
