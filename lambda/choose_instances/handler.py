"""Check whose data it is, and choose by its size: hyperparameters that nobody gave, and instances, by the
account's quotas and prices.
"""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.artifacts import training_data
from fmrec.deployment import shape_rule, trials
from fmrec.execution.function_contracts import ChooseInstancesEvent
from fmrec.instances import account
from fmrec.instances.plan import plan
from fmrec.instances.policy import Policy
from fmrec.registry.same_data_set import check_same

logger = Logger(service="choose_instances")
policy = Policy.from_mapping(json.loads(os.environ["INSTANCE_POLICY"]))
clients = account.connect()


@logger.inject_lambda_context
def handler(event: ChooseInstancesEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer the plan, the hyperparameters that it is for, and which of them the data's shape gave."""
    manifest = training_data.read(event["manifest_uri"], event["hyperparameters"]["predictor_type"])
    if event["served_uri"] is not None:
        check_same(event["manifest_uri"], event["served_uri"])
    found, prices = account.observe(clients, cache_uri=os.environ["CACHE_URI"])
    for note in found.notes:
        logger.warning(note)
    hyperparameters = event["hyperparameters"]
    by_shape = shape_rule.choose(hyperparameters, shape_rule.Shape.of(manifest), event["task"])
    if by_shape is not None:
        hyperparameters = hyperparameters | by_shape["hyperparameters"]
        logger.info("chose hyperparameters by the data's shape", extra=by_shape)
    tuning = event["tuning"]
    if tuning is not None:
        # Asked again, all are given, and the first answer is sent along.
        free = tuning.get("free") or ([] if by_shape is None else list(by_shape["hyperparameters"]))
        own = trials.tunable(hyperparameters, free)
        tuning = tuning | {"most_factors": trials.most_factors(own, int(hyperparameters["num_factors"]))}
    chosen = plan(
        manifest,
        hyperparameters,
        event["serving"],
        policy,
        found,
        prices,
        task=event["task"],
        tuning=tuning,
        ensemble=event["ensemble"],
    )
    for step, choice in chosen["steps"].items():
        logger.info(
            "chose instances",
            extra={"step": step, "candidates": [c["instance_type"] for c in choice["candidates"]]},
        )
    return chosen | {"hyperparameters": hyperparameters, "by_shape": by_shape}
