"""Expressions for the names of what belongs to the run's data set (`fmrec.dataset.names`)."""

from __future__ import annotations

from fmrec.dataset.names import DEFAULT

ENDPOINT_ENDS = {"knn_endpoint": "knn", "fm_endpoint": "fm"}
"""What the names of endpoints end with, by the plan's step."""

VARIANT = "AllTraffic"
"""The one variant of the endpoints that the workflow makes."""

TAG = "fmrec:deployment"
"""Cost allocation tag of everything that a deployment makes; activated once in the billing console."""


def infix(separator: str) -> str:
    """What stands for the data set in the middle of a name: nothing for the default one."""
    return f"($dataset_name = '{DEFAULT}' ? '' : $dataset_name & '{separator}')"


def of_dataset(begin: str, end: str, separator: str = "-") -> str:
    """A name that holds the data set's, such as ``fmrec-books-knn``."""
    return f"'{begin}' & {infix(separator)} & {end}"
