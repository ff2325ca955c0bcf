"""A data bucket on disk with one judged model, and the registry behind botocore's own checks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fmrec.registry import model_record
from fmrec.registry.model_record import ModelRecord
from tests.fixtures.manifests import manifest

GROUP = "arn:aws:sagemaker:eu-west-1:000000000000:model-package-group/fmrec-recommend"
VERSIONS = GROUP.replace("model-package-group", "model-package")


@pytest.fixture
def judged() -> ModelRecord:
    """What is known of a model that passed."""
    return ModelRecord(
        run="monday",
        task="recommend",
        model_version="fmrec-monday-fm-1",
        model_uri="s3://bucket/models/fmrec-monday-fm-1/output/model.tar.gz",
        manifest_uri="s3://bucket/encoded/monday/manifest.json",
        embeddings_uri="s3://bucket/embeddings/monday/embeddings.json",
        hyperparameters={"num_factors": "64", "predictor_type": "binary_classifier"},
        serving={
            "recommendations_per_user": 10,
            "neighbours": 40,
            "exclude_seen": True,
            "filters": {},
            "endpoint": True,
        },
        metrics={"ndcg_at_10": 0.3051, "recall_at_10": 0.21},
        verdict="The model is good enough to publish: NDCG@10 0.3051 beats popularity's 0.1333.",
        passed=True,
        execution_arn="arn:aws:states:eu-west-1:000000000000:execution:machine:monday",
    )


class Bucket:
    """The data bucket as folders on disk."""

    def __init__(self, folder: Path, model: ModelRecord) -> None:
        self.root = str(folder)
        self.model = model

    def keep(self, run: str, **changes: Any) -> ModelRecord:
        """Keep the record of a run's model, with an encoding and embeddings that can be served."""
        number = len(list((Path(self.root) / "evaluations").glob("*"))) + 1
        kept = replace(
            self.model,
            run=run,
            model_version=f"fmrec-{run}-fm-1",
            manifest_uri=f"{self.root}/encoded/{run}/manifest.json",
            embeddings_uri=f"{self.root}/embeddings/{run}/embeddings.json",
            execution_arn=self.model.execution_arn.replace("monday", run),
            model_package_arn=f"{VERSIONS}/{number}",
        )
        kept = replace(kept, **changes)
        parts = {
            "dim": 65,
            "users": 943,
            "items": 1682,
            "item_parts": [{"key": "items/part-00000.pbr"}],
            "query_parts": [{"key": "queries/part-00000.pbr", "offsets_key": "query_offsets/part-00000.npy"}],
        }
        for name in (
            *(f"encoded/{run}/{part}" for part in ("manifest.json", "feature_index/part-0", "seen/part-0")),
            *(f"embeddings/{run}/{part['key']}" for part in parts["item_parts"] + parts["query_parts"]),  # type: ignore[operator]
            f"embeddings/{run}/query_offsets/part-00000.npy",
        ):
            self.write(name, manifest(run).to_json() if name.endswith("manifest.json") else "x")
        self.write(f"embeddings/{run}/embeddings.json", json.dumps(parts))
        model_record.write(kept, model_record.place(self.root, run))
        return kept

    def write(self, name: str, text: str) -> None:
        place = Path(self.root) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def lose(self, name: str) -> None:
        (Path(self.root) / name).unlink()


@pytest.fixture
def bucket(tmp_path: Path, judged: ModelRecord) -> Bucket:
    return Bucket(tmp_path, judged)


class Versions:
    """The registry's versions by ARN, as `fmrec.registry.promotion` asks for them."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, Any]] = {}

    def add(self, kept: ModelRecord, root: str) -> None:
        uri = model_record.place(root, kept.run)
        self.packages[str(kept.model_package_arn)] = {"CustomerMetadataProperties": {"record_uri": uri}}

    def describe(self, arn: str) -> dict[str, Any] | None:
        return self.packages.get(arn)


@pytest.fixture
def versions() -> Versions:
    return Versions()
