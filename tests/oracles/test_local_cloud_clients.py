"""Clients that nobody here wrote run their SageMaker code on the local cloud, unchanged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.oracles.environments import ROOT, aws_cli, whole_sdk_v2_python


@pytest.fixture(scope="module")
def notebook(local_cloud: dict[str, str], role: str) -> dict[str, Any]:
    """What the classic notebook found, run once."""
    settings = Path(local_cloud["HOME"]) / "sagemaker.yaml"
    settings.write_text(
        "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n", encoding="utf-8"
    )
    ran = subprocess.run(
        [whole_sdk_v2_python(), Path(__file__).with_name("classic_notebook.py"), role],
        env={**local_cloud, "PYTHONPATH": str(ROOT), "SAGEMAKER_USER_CONFIG_OVERRIDE": str(settings)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    line = ran.stdout.splitlines()[-1]
    return dict(json.loads(line.removeprefix("notebook: ")))


def test_the_sdk_trains_deploys_and_predicts(notebook: dict[str, Any]) -> None:
    assert notebook["sdk"] == "2.257.7"
    assert notebook["scores"] == pytest.approx(notebook["expected_scores"], abs=1e-5)
    assert len(set(notebook["scores"])) > 1
    assert notebook["metrics"]["test:binary_classification_accuracy"] >= 0.5


def test_the_sdk_transforms_to_the_lists_that_the_factors_mean(notebook: dict[str, Any]) -> None:
    assert len(notebook["lists"]) == 30
    assert notebook["lists"] == notebook["expected_lists"]


def test_the_sdk_deletes_the_endpoint_and_its_configuration(notebook: dict[str, Any]) -> None:
    assert (notebook["endpoints"], notebook["endpoint_configurations"]) == (0, 0)


@pytest.fixture(scope="module")
def aws(
    local_cloud: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Any]]:
    """The AWS CLI with arguments; what it prints, as a document where it is one."""
    files = [tmp_path_factory.mktemp("cli") / name for name in ("output", "errors")]
    program = [aws_cli().with_name("python"), Path(__file__).with_name("cli_commands.py")]
    with subprocess.Popen(
        program, env=local_cloud, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as commands:
        assert commands.stdin is not None
        assert commands.stdout is not None
        asked, answered = commands.stdin, commands.stdout

        def run(*arguments: str, fails: bool = False) -> Any:
            print(json.dumps({"arguments": arguments, "files": [*map(str, files)]}), file=asked, flush=True)
            code = int(answered.readline())
            output, errors = (file.read_text(encoding="utf-8") for file in files)
            assert (code != 0) == fails, output + errors
            if fails:
                return errors
            return json.loads(output) if output.startswith(("{", "[")) else output

        yield run


def test_the_clis_program_reaches_the_local_cloud(local_cloud: dict[str, str]) -> None:
    command = [str(aws_cli()), "sts", "get-caller-identity"]
    ran = subprocess.run(command, env=local_cloud, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(ran.stdout)["Account"] == "000000000000"


def test_the_cli_reaches_the_services(aws: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("1,2,3\n")
    aws("s3", "mb", "s3://by-the-cli")
    aws("s3", "cp", str(tmp_path / "ratings.csv"), "s3://by-the-cli/raw/ratings.csv")
    assert "raw/ratings.csv" in aws("s3", "ls", "--recursive", "s3://by-the-cli")
    assert aws("s3", "cp", "s3://by-the-cli/raw/ratings.csv", "-") == "1,2,3\n"
    assert "NoSuchBucket" in aws("s3", "ls", "s3://not-there", fails=True)
    quota = aws("service-quotas", "list-service-quotas", "--service-code", "sagemaker", "--max-items", "3")
    assert len(quota["Quotas"]) == 3


def test_the_cli_describes_sagemaker(aws: Callable[..., Any], notebook: dict[str, Any]) -> None:
    jobs = aws("sagemaker", "list-training-jobs", "--sort-by", "CreationTime", "--sort-order", "Ascending")
    names = [job["TrainingJobName"] for job in jobs["TrainingJobSummaries"]]
    described = aws("sagemaker", "describe-training-job", "--training-job-name", names[0])
    assert (described["TrainingJobStatus"], described["HyperParameters"]["num_factors"]) == ("Completed", "8")
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", names[0])
    assert "Requested resource not found" in aws(
        "sagemaker", "describe-training-job", "--training-job-name", "none", fails=True
    )
