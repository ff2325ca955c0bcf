"""Recommendations for anybody, from what they did a minute ago: no training, no table.

`fold_in` finds a user's vector from a history with the items fixed, `fold_in_one_machine` that of one
factorization machine; `unpicked_items` and `histories` are the two sides of its objective and `solver` finds
its minimum; `evaluation` chooses λ and c and judges the lists on users whom training never saw. NumPy only,
so that it runs in a Lambda function.
"""

from fmrec.live.contributions import Contributions
from fmrec.live.fold_in import FoldIn

__all__ = ["Contributions", "FoldIn"]
