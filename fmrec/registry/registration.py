"""The workflow's step after the verdict: a judged model becomes a version, passed or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fmrec.registry import model_record, packages
from fmrec.registry.model_record import ModelRecord
from fmrec.registry.model_registry import ModelRegistry


def register(
    registry: ModelRegistry,
    *,
    model: Mapping[str, Any],
    verdict: Mapping[str, Any],
    group: str,
    image: str,
    record_uri: str,
    evaluation_uri: str | None,
) -> dict[str, Any]:
    """Make a version of a judged model and keep its record; once more changes nothing.

    Parameters
    ----------
    model
        ``run``, ``task``, ``model_version``, ``model_uri``, ``manifest_uri``, ``embeddings_uri`` (or None),
        ``hyperparameters``, ``serving``, ``execution_arn``, ``model_uris`` (of all models of an ensemble).
    verdict
        ``passed``, ``sentence``, ``metrics``: what `fmrec.execution.quality_gate` made of it.
    group, image
        The model package group, and the image that serves the artifact.
    record_uri, evaluation_uri
        Where its record is to lie, and where its ranking report lies, if there is one.

    Returns
    -------
    dict
        ``group``, ``version``, ``arn``, ``status``, ``record_uri``.
    """
    judged = ModelRecord(
        **model,
        metrics=dict(verdict["metrics"]),
        verdict=str(verdict["sentence"]),
        passed=bool(verdict["passed"]),
    )
    arn = registry.register(
        packages.creation(
            judged, group=group, image=image, record_uri=record_uri, evaluation_uri=evaluation_uri
        ),
        judged.verdict,
    )
    model_record.write(replace(judged, model_package_arn=arn), record_uri)
    return {
        "group": group,
        "version": packages.version_of(arn),
        "arn": arn,
        "status": packages.approval(judged),
        "record_uri": record_uri,
    }
