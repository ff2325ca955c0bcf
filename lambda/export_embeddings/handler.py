"""Turn a trained model, or an ensemble of several, and what goes with what into k-NN's items and queries, and
choose how users are folded into them.
"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from fmrec.artifacts import layout
from fmrec.artifacts.encoded_run import EncodedRun
from fmrec.artifacts.manifest import Manifest
from fmrec.artifacts.side_feature_rows import read_side_rows
from fmrec.execution.function_contracts import ExportEmbeddingsEvent
from fmrec.live import choosing_step
from fmrec.model import embeddings
from fmrec.model.ensemble import Ensemble
from fmrec.model.factorization_machine import FactorizationMachine
from fmrec.storage import object_store

logger = Logger(service="export_embeddings")


@logger.inject_lambda_context
def handler(event: ExportEmbeddingsEvent, context: LambdaContext) -> dict[str, Any]:
    """Answer where embeddings.json is, and its sizes; the parts stay there, however many they are."""
    manifest = Manifest.from_json(object_store.read_bytes(event["manifest_uri"]))
    model = Ensemble([FactorizationMachine.load(uri) for uri in event["model_uris"]])
    exported = embeddings.export(
        model,
        manifest,
        event["output_uri"],
        item_rows=read_side_rows(manifest, event["manifest_uri"], "item"),
        user_rows=read_side_rows(manifest, event["manifest_uri"], "user"),
        picks=EncodedRun(manifest, event["manifest_uri"]),
        co_occurrence=event["co_occurrence"],
    )
    uri = object_store.join(event["output_uri"], layout.EMBEDDINGS_DOCUMENT)
    if event["folding_in"]:
        chosen = choosing_step.choose_and_store(event["manifest_uri"], uri)
        logger.info("chose how users are folded in", extra={"folding_in": chosen.to_document()})
    answer = {
        "uri": uri,
        "dim": exported["dim"],
        "users": exported["users"],
        "items": exported["items"],
        "item_parts": len(exported["item_parts"]),
        "query_parts": len(exported["query_parts"]),
    }
    logger.info("exported embeddings", extra=answer)
    return answer
