"""What a model seems to be that is no Factorization Machines model, told by the files that it consists of.

Sources: the developer guide's pages on the algorithms (k-NN's three files, ``xgboost-model``), AWS's public
notebooks that open artifacts (``mx-mod`` of linear learner; K-means and PCA as one NDArray list), and the
documented layouts of the frameworks' own containers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

_SEEMS = "this seems to be another algorithm's artifact"
_NDARRAY_LIST = (0x112).to_bytes(8, "little")
_BY_FILE: tuple[tuple[str, str], ...] = (
    (r"model_algo-1\.(labels|json)", "a k-NN model"),
    (r"xgboost-model", "an XGBoost model"),
    (r"mx-mod-(symbol\.json|\d{4}\.params)", "a linear learner model"),
    (r"(image-classification|model_algo_1|model)-(symbol\.json|\d{4}\.params)", "a model of MXNet or of image classification"),
    (r"saved_model\.pb", "a TensorFlow model"),
    (r"(pytorch_model\.bin|model\.safetensors)", "a Hugging Face model"),
    (r".*\.(pth|pt)", "a PyTorch model"),
    (r"vectors\.(bin|txt)", "a BlazingText model"),
    (r"model\.(joblib|pkl|pickle)", "a model of scikit-learn or another Python library"),
)  # fmt: skip
"""Patterns of file names, the most telling first."""


def seems_to_be(names: Iterable[str], head: bytes = b"") -> str:
    """Return what a model's files seem to be, as the end of a sentence, or nothing if they tell nothing.

    Parameters
    ----------
    names
        Of the files that were found.
    head
        The first bytes of ``model_algo-1``, the file that many of SageMaker's own algorithms write.
    """
    found = [PurePosixPath(name).name for name in names]
    for pattern, kind in _BY_FILE:
        if any(re.fullmatch(pattern, name) for name in found):
            return f"{_SEEMS}, {kind}"
    if head.startswith(_NDARRAY_LIST):
        return f"{_SEEMS}, a K-means or PCA model"
    return _SEEMS if head else ""
