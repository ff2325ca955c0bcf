"""`fmrec plan` and `fmrec quotas` as a person or a script calls them."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fmrec import cli
from fmrec.deployment.shape_rule import FULL_WEIGHT_PICKS

MOVIELENS_25M = ["--rows", "25000095", "--users", "162541", "--items", "62423", "--factors", "64"]
STEPS = ["fm_training", "knn_training", "batch_transform", "knn_endpoint", "fm_transform", "fm_endpoint"]


def quotas_file(folder: Path, **values: Any) -> str:
    path = folder / "quotas.json"
    path.write_text(json.dumps(values))
    return str(path)


def test_movielens_25m_is_planned_offline_in_under_two_seconds() -> None:
    offline = {
        "PATH": "/usr/bin:/bin",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    }
    command = [sys.executable, "-m", "fmrec", "plan", *MOVIELENS_25M, "--json"]
    # Processor time, since other tests may run at the same time.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=offline, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == 0, done.stderr
    assert seconds < 2
    document = json.loads(done.stdout)
    assert list(document["steps"]) == STEPS
    assert document["steps"]["fm_training"]["candidates"][0]["instance_type"] == "ml.m5.large"


def test_planning_imports_neither_boto3_nor_numpy() -> None:
    code = (
        "import sys; from fmrec import cli; cli.main(sys.argv[1:]); "
        "sys.exit(' '.join({'boto3', 'botocore', 'numpy'} & set(sys.modules)) or 0)"
    )
    command = [sys.executable, "-c", code, "plan", *MOVIELENS_25M]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_text_names_candidates_refusals_and_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quotas = quotas_file(
        tmp_path, **{"ml.m5.large for endpoint usage": 0, "ml.m5.xlarge for endpoint usage": 2}
    )
    assert cli.main(["plan", *MOVIELENS_25M, "--quotas", quotas]) == 0
    text = capsys.readouterr().out
    assert "not   ml.m5.large: quota 'ml.m5.large for endpoint usage' is 0" in text
    assert "try   ml.m5.xlarge  needs" in text
    assert "one run: 0." in text
    assert "730 hours; 1 x ml.m5.xlarge at 0.23 USD an hour in all" in text


def test_a_step_without_an_instance_is_exit_code_3_with_what_to_ask_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quotas = quotas_file(tmp_path, **{"Number of instances across active endpoints": 0})
    assert cli.main(["plan", *MOVIELENS_25M, "--quotas", quotas]) == 3
    text = capsys.readouterr().out
    assert "none  knn_endpoint: no type has a free quota" in text
    assert "--quota-code L-7A3DF611 --desired-value 1" in text
    assert cli.main(["plan", *MOVIELENS_25M, "--quotas", quotas, "--no-endpoint"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--rows, --users, --items missing"),
        (["--rows", "10", "--users", "2"], "--items missing"),
        (["--manifest", "/nowhere/manifest.json"], "can't be read"),
        (["--manifest", "m", "--rows", "1"], "--manifest has the sizes"),
        ([*MOVIELENS_25M, "--quotas", "/nowhere/quotas.json"], "can't be read"),
        ([*MOVIELENS_25M, "--factors", "0"], "num_factors is 0"),
        ([*MOVIELENS_25M, "--features", "10"], "alone take 224,964 columns"),
        ([*MOVIELENS_25M, "--instance-count", "fm_training"], "expected STEP=VALUE"),
        ([*MOVIELENS_25M, "--instance-count", "fm_training=x"], "expected an integer"),
        ([*MOVIELENS_25M, "--instance-type", "fm=ml.m5.large"], "names the step 'fm'"),
        ([*MOVIELENS_25M, "--profile", "no-such-profile"], "the account can't be read"),
    ],
)
def test_unusable_input_is_exit_code_2_and_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"a": "1"}', '{"a": -1}', '{"a": NaN}', '{"a": true}'])
def test_a_quotas_file_that_is_none_is_said_so(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "quotas.json"
    path.write_text(content)
    assert cli.main(["plan", *MOVIELENS_25M, "--quotas", str(path)]) == 2
    assert "the quotas file" in capsys.readouterr().err


def test_the_output_of_the_aws_cli_is_a_quotas_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quota = {
        "QuotaName": "Number of instances across active endpoints",
        "QuotaArn": "arn:aws:servicequotas:eu-west-1:000000000000:sagemaker/L-7A3DF611",
        "Value": 0.0,
    }
    path = tmp_path / "quotas.json"
    path.write_text(json.dumps({"Quotas": [quota]}, indent=4))
    assert cli.main(["plan", *MOVIELENS_25M, "--quotas", str(path)]) == 3
    text = capsys.readouterr().out
    assert "none  knn_endpoint: no type has a free quota" in text
    assert "--region eu-west-1" in text
    assert "eu-west-1 may differ by tens of percent" in text


def test_settings_and_options_make_the_policy_and_options_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "tasks": {"recommend": {"hyperparameters": {"num_factors": 256}}},
        "serving": {"endpoint": False},
        "instances": {"policy": {"families": ["r5"], "instance_counts": {"batch_transform": 2}}},
    }
    path = tmp_path / "cdk.json"
    path.write_text(json.dumps({"context": {"fmrec": settings}}))
    sizes = ["--rows", "100000", "--users", "900", "--items", "100"]
    assert cli.main(["plan", *sizes, "--settings", str(path), "--json", "--families", "m6i,r6i"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["steps"]["fm_training"]["needs"]["inputs"]["num_factors"] == 256
    assert document["steps"]["fm_training"]["candidates"][0]["instance_type"] == "ml.m6i.large"
    assert document["steps"]["batch_transform"]["candidates"][0]["instance_count"] == 2
    assert document["steps"]["knn_endpoint"]["needed"] is False


def test_the_task_comes_from_an_option_or_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cdk.json"
    path.write_text(json.dumps({"context": {"fmrec": {"task": "predict-rating"}}}))
    assert cli.main(["plan", *MOVIELENS_25M, "--settings", str(path)]) == 0
    text = capsys.readouterr().out
    assert "fm_transform: " in text
    assert "Not needed by this run: knn_training, batch_transform, knn_endpoint" in text
    given = ["--settings", str(path), "--task", "recommend"]
    assert cli.main(["plan", *MOVIELENS_25M, *given]) == 0
    assert "Not needed by this run: fm_transform, fm_endpoint" in capsys.readouterr().out


def test_options_fix_types_spot_and_input_mode(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--instance-type", "knn_endpoint=ml.m5.2xlarge,ml.m5.large", "--spot", "--input-mode", "Pipe"]
    assert cli.main(["plan", *MOVIELENS_25M, *options, "--maximum-usd-per-hour", "0.3", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [c["instance_type"] for c in steps["knn_endpoint"]["candidates"]] == [
        "ml.m5.2xlarge",
        "ml.m5.large",
    ]
    assert steps["fm_training"]["needs"]["quotas"][0] == "<type> for spot training job usage"
    assert steps["fm_training"]["needs"]["inputs"]["input_mode"] == "Pipe"
    assert all(c["usd_per_hour"] <= 0.3 for c in steps["fm_training"]["candidates"])


def test_quotas_are_shown_beside_what_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quotas = quotas_file(
        tmp_path,
        **{
            "ml.m5.large for training job usage": 1,
            "ml.m5.large for transform job usage": 0,
            "Number of instances across all training jobs": 2,
        },
    )
    assert cli.main(["quotas", "--quotas", quotas, "--region", "eu-west-1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "SageMaker quotas in eu-west-1"

    def line(step: str, quota: str) -> list[str]:
        (found,) = [text for text in lines if text.startswith(step) and f" {quota} " in text]
        return found.split(quota)[1].split()

    assert line("fm_training", "ml.m5.large for training job usage") == ["1", "1", "?", "enough"]
    assert line("batch_transform", "ml.m5.large for transform job usage") == ["1", "0", "?", "TOO", "SMALL"]
    assert line("knn_endpoint", "ml.m5.large for endpoint usage") == ["1", "?", "?", "unknown"]
    assert any("--quota-code L-236AE59F --desired-value 1 --region eu-west-1" in text for text in lines)


def test_quotas_as_json_say_what_to_ask_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quotas = quotas_file(tmp_path, **{"Number of instances across all transform jobs": 1})
    options = ["--instance-count", "batch_transform=3", "--json"]
    assert cli.main(["quotas", "--quotas", quotas, *options]) == 3
    rows = json.loads(capsys.readouterr().out)["quotas"]
    (row,) = [r for r in rows if r["quota_name"] == "Number of instances across all transform jobs"]
    assert (row["wanted"], row["applied"], row["used"], row["enough"]) == (3, 1, None, False)
    assert row["increase"]["desired_value"] == 3
    assert row["increase"]["waiting_can_help"] is False
    assert {r["step"] for r in rows} == set(STEPS[:4])


def test_a_manifest_is_read_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    channel = {"prefix": "train/", "rows": 90_570, "parts": 4, "bytes": 5_796_480, "positive_share": 0.551}
    manifest = {
        "version": 1,
        "run": "r",
        "created": "2026-11-21T00:00:00Z",
        "dataset": {},
        "feature_dim": 2625,
        "nnz_per_row": 2.0,
        "users": 943,
        "items": 1682,
        "ranges": {"user": [0, 943], "item": [943, 2625]},
        "rows": {"read": 90_570, "encoded": 90_570, "train": 90_570, "test": 0},
        "train": channel,
        "test": {"prefix": "test/", "rows": 0, "parts": 0, "bytes": 0, "positive_share": None},
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    assert cli.main(["plan", "--manifest", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"]["feature_dim"] == 2625
    assert cli.main(["plan", "--manifest", str(path)]) == 0
    assert "upper bound" not in capsys.readouterr().out
    path.write_text("{}")
    assert cli.main(["plan", "--manifest", str(path)]) == 2


def test_tuning_and_evaluation_are_planned_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--tuning-jobs", "20", "--parallel-jobs", "4", "--evaluation"]
    assert cli.main(["plan", *MOVIELENS_25M, *options]) == 0
    text = capsys.readouterr().out
    assert "fm_trials: " in text
    assert "4 trials at the same time" in text
    assert "glue_validation" in text
    assert "evaluation: " in text
    assert cli.main(["plan", *MOVIELENS_25M, "--parallel-jobs", "4"]) == 2
    assert "give --tuning-jobs too" in capsys.readouterr().err


def context_file(folder: Path, settings: Any) -> str:
    path = folder / "cdk.json"
    path.write_text(json.dumps({"context": {"fmrec": settings}}))
    return str(path)


def test_what_settings_leave_out_is_planned_as_deployed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(task: str, settings: Any, *options: str) -> Any:
        line = ["plan", "--task", task, "--settings", context_file(tmp_path, settings), "--json", *options]
        assert cli.main([*line, "--rows", "1000000", "--users", "900", "--items", "1600"]) == 0
        return json.loads(capsys.readouterr().out)

    lists = planned("recommend", {})
    # 12,500 picks, and the decay that so few of them per user and item want.
    assert lists["hyperparameters"]["factors_wd"] == "4.6e-05"
    assert planned("recommend", {}, "--epochs", "7")["hyperparameters"]["epochs"] == "7"
    assert "900,000 rows * 3 epochs" in lists["cost"]["run"]["items"]["fm_training"]["basis"]
    # 900,000 rows are 12,500 interactions in eight copies with eight negatives each: 14 for each user.
    assert lists["neighbours"] == 10 + math.ceil(3 * 12_500 / 900)
    assert planned("recommend", {"serving": {"exclude_seen": False}})["neighbours"] == 10
    assert planned("recommend", {"serving": {"neighbours": 500}})["neighbours"] == 500
    ratings = planned("predict-rating", {"tasks": {"predict-rating": {"hyperparameters": {"epochs": 5}}}})
    assert "900,000 rows * 5 epochs" in ratings["cost"]["run"]["items"]["fm_training"]["basis"]
    scaled = planned(
        "recommend", {"serving": {"scaling": {}, "idle_hours": 4, "update": {"bake_minutes": 2}}}
    )
    assert scaled["neighbours"] == lists["neighbours"]
    endpoint = scaled["steps"]["knn_endpoint"]
    assert {candidate["maximum_instances"] for candidate in endpoint["candidates"]} == {4}
    serverless = planned("recommend", {"serving": {"serverless": {"maximum_concurrency": 9}}})
    (candidate,) = serverless["steps"]["knn_endpoint"]["candidates"]
    assert (candidate["memory_mb"], candidate["maximum_concurrency"]) == (2048, 9)
    tuned = planned("recommend", {"tuning": {"maximum_jobs": 6, "parallel_jobs": 3}})
    assert tuned["steps"]["fm_trials"]["needs"]["parallel_jobs"] == 3
    measured = planned("recommend", {"tuning": {"ranges": {"epochs": [1, 4]}, "parallel_jobs": 3}})
    assert measured["steps"]["fm_tuning"]["needs"]["parallel_jobs"] == 3
    assert planned("predict-rating", {"tuning": {"parallel_jobs": 2}})["steps"]["fm_tuning"]["needed"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({}, f"in all of the 8 copies: for users with more than {FULL_WEIGHT_PICKS} picks fewer are written"),
        ({"copies": 3, "full_weight_picks": 5}, "all of the 3 copies: for users with more than 5 picks"),
        ({"full_weight_picks": 5}, "all of the 8 copies: for users with more than 5 picks"),
        ({"copies": 3}, None),
        ({"copies": 1, "full_weight_picks": 5}, None),
        ({"mode": "binary"}, None),
    ],
)
def test_guessed_rows_are_an_upper_bound_where_long_histories_count_less(
    label: dict[str, Any], words: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = "predict-rating" if label.get("mode") == "binary" else "recommend"
    settings = {"tasks": {task: {"label": {"mode": "implicit", **label}}}}
    line = ["plan", "--task", task, "--settings", context_file(tmp_path, settings)]
    sizes = ["--rows", "1000000", "--users", "900", "--items", "1600"]
    assert cli.main([*line, *sizes, "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert [note.split(",")[0] for note in notes] == (["the train rows are an upper bound"] if words else [])
    if words:
        assert words in notes[0]
        assert cli.main([*line, *sizes]) == 0
        assert f"Note: {notes[0]}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hyperparameters": {"num_factors": 8}}, "the setting 'hyperparameters' is unknown"),
        ({"tasks": []}, "tasks is []: expected a JSON object"),
        ({"tasks": {"recommend": 3}}, "tasks.recommend is 3: expected a JSON object"),
        ({"tasks": {"recommend": {"hyperparameters": []}}}, "hyperparameters are []"),
        ({"tasks": {"recommend": {"label": "implicit"}}}, "label"),
        ({"task": "lists"}, "task is 'lists'"),
        ({"task": ["recommend"]}, "task is ['recommend']"),
        ({"instances": 1}, "instances is 1"),
        ({"instances": {"policy": 1}}, "instances.policy is 1"),
        ({"instances": {"policy": {"instance_counts": 1}}}, "instance_counts"),
        ({"serving": {"neighbours": "many"}}, "serving.neighbours is 'many'"),
        ({"serving": "no"}, "serving is 'no'"),
        ({"serving": {"scaling": 4}}, "serving.scaling is 4: expected a JSON object"),
        ({"serving": {"scaling": {"maximum_instances": "4"}}}, "serving.scaling.maximum_instances is '4'"),
        ({"serving": {"scaling": {"maximum_instances": 0}}}, "serving.scaling has 1 to 0 instances"),
        ({"serving": {"serverless": 4}}, "serving.serverless is 4: expected a JSON object"),
        ({"dataset": "raw"}, "dataset is 'raw'"),
        ({"dataset": {"interactions": 5}}, "interactions"),
        ({"tuning": {"maximum_jobs": 0}}, "maximum_jobs is 0"),
        ([], "context.fmrec is []"),
        ({"glue": {"workers": 1}}, "glue.workers is 1: expected an integer of at least 2"),
        ({"glue": {"worker_type": "G.3X"}}, "glue.worker_type is 'G.3X': expected one"),
    ],
)
def test_wrong_settings_are_exit_code_2_and_a_sentence(
    settings: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", *MOVIELENS_25M, "--settings", context_file(tmp_path, settings)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "cdk.json" in error
