"""`fmrec verify` as a whole against the local cloud: every point has a verdict, and nothing is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo.cloud import ROOT
from demo.movielens import MovieLens
from fmrec.verification.points import POINTS


def start(pipeline: Any, ratings: Path, output: Path, **variables: str) -> subprocess.Popen[str]:
    environment = pipeline.cloud.environment | {
        "PATH": os.environ["PATH"],
        # TestState's host has a prefix on AWS, which no name server knows on this machine.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        **variables,
    }
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "fmrec",
            "verify",
            "--yes",
            "--ratings",
            str(ratings),
            "--output",
            str(output),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def verification_resources(pipeline: Any) -> list[str]:
    """What the cloud has of a verification, counted through its APIs."""
    client = pipeline.cloud.client
    found = [stack["StackName"] for stack in client("cloudformation").describe_stacks()["Stacks"]]
    found += [each["EndpointName"] for each in client("sagemaker").list_endpoints()["Endpoints"]]
    found += [each["ModelName"] for each in client("sagemaker").list_models()["Models"]]
    found += [
        each["EndpointConfigName"] for each in client("sagemaker").list_endpoint_configs()["EndpointConfigs"]
    ]
    found += [
        each["ModelPackageGroupName"]
        for each in client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
    ]
    found += client("dynamodb").list_tables()["TableNames"]
    found += [each["Name"] for each in client("s3").list_buckets()["Buckets"]]
    found += [each["FunctionName"] for each in client("lambda").list_functions()["Functions"]]
    return [name for name in found if name.lower().startswith("fmverify")]


def test_a_whole_verification_settles_what_it_can_and_leaves_nothing(
    pipeline: Any, some_movielens: MovieLens, tmp_path: Path
) -> None:
    process = start(pipeline, some_movielens.ratings, tmp_path)
    text, _ = process.communicate(timeout=900)

    assert process.returncode == 0, text[-3000:]
    document = json.loads((tmp_path / "verification.json").read_text())
    verdicts = {point["name"]: point for point in document["points"]}
    assert set(verdicts) == {point.name for point in POINTS}
    assert document["left_behind"] == []
    assert verification_resources(pipeline) == []
    confirmed = {name for name, point in verdicts.items() if point["status"] == "confirmed"}
    assert confirmed >= {
        "fm-artifact", "knn-order", "transform-blank-lines", "client-token", "registry-missing", "registry-exists",
        "registry-permissions", "fastfile", "few-rows", "jsonlines",
    }  # fmt: skip
    # The local cloud's jobs start at once: the time AWS bills for their start is not spent.
    assert verdicts["knn-training-seconds"]["status"] == "refuted"
    assert verdicts["fm-training-memory"]["status"] == "not settled"
    assert verdicts["eusc-console"]["seen"] == "it can be seen from that partition only"


def test_an_interrupted_verification_removes_what_it_made(
    pipeline: Any, some_movielens: MovieLens, assemblies: Path, tmp_path: Path
) -> None:
    # What the CDK's CLI runs in the place of the app: it has been synthesised already.
    app = f'cp -r "{assemblies / "verification"}/." "$CDK_OUTDIR"'
    process = start(pipeline, some_movielens.ratings, tmp_path, CDK_APP=app)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("task recommend:"):
            break
    assert lines[-1].startswith("task recommend:"), "".join(lines[-40:])
    assert "FmVerifyStorage" in verification_resources(pipeline)
    process.send_signal(signal.SIGINT)
    for line in process.stdout:
        if "removing everything" in line:
            break
    process.send_signal(signal.SIGINT)  # a second Ctrl-C doesn't stop the removal
    rest, _ = process.communicate(timeout=600)

    assert process.returncode == 130, rest[-3000:]
    assert "still removing" in rest
    assert verification_resources(pipeline) == []
