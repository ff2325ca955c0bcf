"""Sizes of data sets to plan for."""

from fmrec.instances.workloads import Sizes


def sizes(feature_dim: int, rows: int = 1_000_000) -> Sizes:
    items = feature_dim // 5
    return Sizes.guess(rows=rows, users=feature_dim - items, items=items)
