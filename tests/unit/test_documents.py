"""Every document that is read, with wrong values in each place: read, or refused with an error of our own."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fmrec import cli
from fmrec.artifacts.embedded_run import open_run
from fmrec.artifacts.fold_in_parameters import Basis, FoldingIn, Trial, read_folding_in
from fmrec.dataset import Dataset
from fmrec.deployment.defaults import DATASET, SERVING, TASK, TASKS
from fmrec.errors import FmrecError
from fmrec.execution import execution_input
from fmrec.execution.data_bucket import DataBucket
from fmrec.predictions import served_model
from fmrec.predictions.threshold_choice import Decision
from fmrec.registry import champion, model_record

WRONG: list[Any] = [
    *(None, True, 0, -1, 1.5, float("inf"), float("nan"), 10**400, "", "x", "\ud800", "\0", "9" * 5000),
    *([], [[]], [None], {}, {"a": 1}, [[["x"]]]),
]
DATASET_DOCUMENT: dict[str, Any] = {
    "name": "a",
    "interactions": {
        "path": "a",
        "format": "csv",
        "columns": {"user": "u", "item": "i", "value": "v", "timestamp": "t"},
        "timestamp_format": "seconds",
    },
    "users": {"path": "u", "format": "csv", "id": "x"},
    "label": {"mode": "implicit", "threshold": 4, "negatives_per_positive": 4},
    "split": {"method": "time-cut", "at": "2025-06-01"},
    "features": [{"name": "d", "of": "interaction", "kind": "numeric", "scale": 0.1}],
}
CHANNEL = {"prefix": "train/", "rows": 10, "parts": 1, "bytes": 640, "positive_share": 0.5}
MANIFEST: dict[str, Any] = {
    "version": 1,
    "run": "r",
    "created": "2026",
    "dataset": {"label": {"mode": "binary"}},
    "feature_dim": 20,
    "nnz_per_row": 2.0,
    "users": 10,
    "items": 10,
    "ranges": {"user": [0, 10], "item": [10, 20]},
    "rows": {"read": 12, "encoded": 12, "train": 10, "test": 2},
    "train": CHANNEL,
    "test": CHANNEL | {"prefix": "test/", "rows": 2},
    "details": {"side_features": {"user": "user_features/"}},
}
EMBEDDINGS: dict[str, Any] = {
    "dim": 3,
    "users": 10,
    "items": 10,
    "item_parts": [{"key": "items/p", "rows": 10, "bytes": 100}],
    "query_parts": [{"key": "queries/p", "offsets_key": "o/p", "first_user": 0, "rows": 10, "bytes": 100}],
}
RECORD = {"run": "r", "model_version": "m", "model_uri": "u", "manifest_uri": "x"}
SETTINGS: dict[str, Any] = {
    "task": "recommend",
    "tasks": {"recommend": {"label": {"mode": "implicit", "threshold": 4}, "hyperparameters": {"epochs": 3}}},
    "tuning": {"maximum_jobs": 3, "ranges": {"factors_lr": [0.001, 0.1]}},
    "dataset": {"interactions": {"path": "a", "columns": {"user": "u", "item": "i", "value": "v"}}},
    "instances": {
        "policy": {
            "families": ["m5"],
            "instance_types": {"fm_training": ["ml.m5.large"]},
            "instance_counts": {"fm_training": 1},
        }
    },
    "serving": {"recommendations_per_user": 10, "filters": {"deny": ["a"]}},
}
INPUT: dict[str, Any] = {
    "task": "recommend",
    "name": "b",
    "dataset": DATASET_DOCUMENT | {"name": "b"},
    "hyperparameters": {"num_factors": 3},
    "tuning": {"maximum_jobs": 3, "maximum_usd": 4, "ranges": {"factors_lr": [0.001, 0.1]}},
    "serving": {
        "recommendations_per_user": 3,
        "neighbours": 12,
        "exclude_seen": True,
        "filters": {"deny": ["a"], "maximum_per_category": 3, "categories": "s3://b/rules/x"},
        "segments": "s3://b/rules/a",
        "endpoint": True,
    },
    "replace_catalogue": True,
}
DEFAULTS = {"task": TASK, "tasks": TASKS, "dataset": DATASET, "serving": SERVING}
SIZES = ["plan", "--rows", "1000", "--users", "10", "--items", "10"]


def places(document: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    if isinstance(document, dict | list):
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from places(value, (*here, key))


def damaged(document: Any) -> Iterator[str]:
    """The document as JSON, with each of the wrong values in each place, and without what stands there."""
    for place in places(document):
        for value in WRONG:
            changed = copy.deepcopy(document)
            if place:
                holder = changed
                for key in place[:-1]:
                    holder = holder[key]
                holder[place[-1]] = value
            yield json.dumps(changed if place else value)
        if place and isinstance(place[-1], str):
            changed = copy.deepcopy(document)
            holder = changed
            for key in place[:-1]:
                holder = holder[key]
            del holder[place[-1]]
            yield json.dumps(changed)


def check(read: Callable[[str], Any], document: Any) -> None:
    read(json.dumps(document))
    refused = 0
    for text in damaged(document):
        try:
            read(text)
        except FmrecError as error:
            refused += len(str(error)) < 3000
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error} on {text[:1000]}")
    assert refused


def command(capsys: Any, path: Path, *arguments: str) -> Callable[[str], None]:
    """Reading by the command line, which must end with one of its exit codes and no traceback."""

    def read(text: str) -> None:
        path.write_text(text)
        code = cli.main([*arguments, str(path)])
        error = capsys.readouterr().err
        assert code in {0, 2, 3}, error
        if code == 2:
            assert error.count("\n") == 1, error
            raise FmrecError(error[:100])

    return read


def test_a_data_set() -> None:
    check(lambda text: Dataset.from_document(json.loads(text)).to_document(), DATASET_DOCUMENT)


def test_an_execution_input() -> None:
    bucket = DataBucket("s3://b")

    def resolve(text: str) -> None:
        execution_input.resolve("r", json.loads(text), DEFAULTS, bucket)

    resolve(json.dumps(INPUT))
    for text in damaged(INPUT):
        with contextlib.suppress(FmrecError):
            resolve(text)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nul", "\0"])
@pytest.mark.parametrize("option", ["--manifest", "--settings", "--quotas"])
def test_what_is_no_json_is_one_sentence(text: str, option: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "document.json"
    path.write_text(text)
    sizes = SIZES[:1] if option == "--manifest" else SIZES
    assert cli.main([*sizes, option, str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_a_manifest(tmp_path: Path, capsys: Any) -> None:
    check(command(capsys, tmp_path / "manifest.json", "plan", "--manifest"), MANIFEST)


@pytest.mark.slow
def test_settings(tmp_path: Path, capsys: Any) -> None:
    check(command(capsys, tmp_path / "cdk.json", *SIZES, "--settings"), {"context": {"fmrec": SETTINGS}})


def test_quotas(tmp_path: Path, capsys: Any) -> None:
    check(
        command(capsys, tmp_path / "quotas.json", *SIZES, "--quotas"), {"ml.m5.large for endpoint usage": 2}
    )


def test_embeddings(tmp_path: Path) -> None:
    manifest, embeddings = tmp_path / "manifest.json", tmp_path / "embeddings.json"
    manifest.write_text(json.dumps(MANIFEST))

    def read(text: str) -> None:
        embeddings.write_text(text)
        run = open_run(str(manifest), str(embeddings))
        with contextlib.suppress(FmrecError):  # the vectors themselves are not there
            run.item_vectors()
        for part in run.query_parts:
            with contextlib.suppress(FmrecError):
                run.query_vectors(part)

    check(read, EMBEDDINGS)


def test_how_users_are_folded_in(tmp_path: Path) -> None:
    embeddings = str(tmp_path / "embeddings.json")
    found = FoldingIn(4.0, 0.02, Basis.LEFT_OUT, 9, "", (Trial(4.0, 0.02, 0.3, 0.2),))

    def read(text: str) -> None:
        (tmp_path / "folding_in.json").write_text(text)
        read_folding_in(embeddings)

    check(read, found.to_document())


def test_a_decision() -> None:
    document = {"level": None, "threshold": 0.4, "calibration": {"slope": 1.0, "intercept": 0.5}}

    check(lambda text: Decision.from_document(json.loads(text)), document)


@pytest.mark.parametrize(
    ("read", "document"),
    [
        (champion.read, RECORD | {"task": "recommend", "embeddings_uri": "y", "previous": ""}),
        (served_model.read, RECORD | {"decision_uri": "y", "endpoint_name": "e"}),
    ],
)
def test_records_of_what_serves(read: Callable[[str], Any], document: Any, tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    def written(text: str) -> None:
        path.write_text(text)
        read(str(path))

    check(written, document)


def test_the_record_of_a_model(tmp_path: Path) -> None:
    document = RECORD | {
        "task": "recommend",
        "embeddings_uri": "y",
        "hyperparameters": {"num_factors": "1"},
        "serving": {"recommendations_per_user": 1, "exclude_seen": True, "filters": {}, "neighbours": 3},
        "metrics": {"ndcg_at_10": 1.0},
        "verdict": "good",
        "passed": True,
        "execution_arn": "a",
        "model_package_arn": "b",
    }
    path = tmp_path / "model.json"

    def read(text: str) -> None:
        path.write_text(text)
        model_record.read(str(path))

    check(read, document)


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "-1", "9" * 400, "1e-400", "x", ""])
def test_numbers_of_the_command_line(value: str, capsys: Any) -> None:
    for option in (
        *("--nonzeros", "--rows", "--users", "--items", "--features", "--factors", "--epochs"),
        *("--mini-batch-size", "--recommendations", "--tuning-jobs", "--maximum-usd-per-hour"),
    ):
        try:
            code = cli.main([*SIZES, f"{option}={value}"])
        except SystemExit as ended:
            code = int(str(ended.code))
        assert code in {0, 2, 3}, capsys.readouterr().err
