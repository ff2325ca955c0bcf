"""Recommendations for anybody, from what they did a minute ago: no training, no table.

`fold_in` finds a user's vector from a history with the items fixed; `catalogue` and `histories` are the two
sides of its objective and `solver` its minimum. NumPy only, so that it runs in a Lambda function.
"""

from fmrec.live.fold_in import Contributions, FoldIn

__all__ = ["Contributions", "FoldIn"]
