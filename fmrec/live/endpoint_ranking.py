"""Large catalogues: the folded vector is asked of the k-NN endpoint instead of ranking all items here.

Vectors stay in memory, because folding needs them; so each neighbour's score is computed here as well, which
also finds an endpoint that has another model's index, as it has while it is updated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from aws_lambda_powertools import Logger

from fmrec.errors import FormatError, ServiceError
from fmrec.live.live_model import LiveModel, Nearest
from fmrec.recommendations.knn_endpoint import ask
from fmrec.recordio import encode_dense

DIFFERENCE = 1e-3
"""By which scores of the endpoint and those computed here may differ, relatively: both are float32 sums."""

logger = Logger(service="api")


class EndpointRanking:
    """Ranks models from so many items on by an endpoint.

    Parameters
    ----------
    name
        The k-NN endpoint.
    from_items
        Smaller models are ranked in memory.
    client
        A botocore client of sagemaker-runtime.
    """

    def __init__(self, name: str, from_items: int, client: Any) -> None:
        self.name, self.from_items, self._client = name, from_items, client

    def nearest(self, model: LiveModel) -> Nearest | None:
        """What finds the best items of a vector; None for a model that is ranked in memory."""
        if len(model.item_ids) < self.from_items:
            return None

        def nearest(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
            query = np.append(np.asarray(vector, np.float32), np.float32(1))[None]
            try:
                found = ask(self.name, bytes(encode_dense(query).data), len(model.item_ids), self._client)
            except (ServiceError, FormatError) as error:
                # The service's own words may have the account's number: they are for the log.
                logger.warning("the endpoint did not answer", extra={"reason": str(error)})
                raise ServiceError(
                    f"the endpoint {self.name}, which ranks the {len(model.item_ids)} items, does not answer: "
                    f"`fmrec endpoints` says whether it runs, and `fmrec endpoints --start {self.name}` starts it"
                ) from error
            items: npt.NDArray[np.int64] = found.items[0]
            products = found.products[0]
            mine = model.fold_in.scores(vector, items) - model.bias
            if (np.abs(products - mine) > DIFFERENCE * np.maximum(1, np.abs(mine))).any():
                raise ServiceError(
                    f"the endpoint {self.name} has another model than {model.model_version}, which serves: try again "
                    "when its update has ended (`fmrec endpoints`)"
                )
            return items

        return nearest


def runtime_client() -> Any:
    """A client whose waiting and retries end before API Gateway's do."""
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
    return boto3.client("sagemaker-runtime", config=config)
