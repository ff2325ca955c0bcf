"""Rank all items for the held-out users, and compare with popularity, simple models and the champion; and for
users who are folded in.
"""

import json
import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.execution.function_contracts import EvaluateRankingEvent
from fmrec.live.evaluation_step import judge_folded_in
from fmrec.ranking.evaluation_step import evaluate
from fmrec.registry import champion

logger = Logger(service="evaluate_ranking")
limits = json.loads(os.environ["SIMPLE_MODELS"])


@logger.inject_lambda_context
def handler(event: EvaluateRankingEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer the report that is written to ``output_uri``, and whose champion the model was judged
    against.
    """
    if event["champion_uri"] is None:
        report = evaluate(
            manifest_uri=event["manifest_uri"],
            embeddings_uri=event["embeddings_uri"],
            output_uri=event["output_uri"],
            maximum_items=0,
        )
        logger.info("judged the lists alone", extra={"metrics": report["model"]["metrics"]})
        return {**report, "judged_against": ""}
    # Read first: a champion that changes during the evaluation is noticed afterwards.
    recorded = champion.recorded(event["champion_uri"])
    serving = champion.read(event["champion_uri"])
    report = evaluate(
        manifest_uri=event["manifest_uri"],
        embeddings_uri=event["embeddings_uri"],
        champion=serving.places if serving is not None else None,
        output_uri=event["output_uri"],
        judge_folded_in=judge_folded_in,
        **limits,
    )
    logger.info(
        "judged the lists",
        extra={"metrics": report["model"]["metrics"], "champion": serving and serving.run},
    )
    return {**report, "judged_against": recorded.execution_arn if recorded is not None else ""}
