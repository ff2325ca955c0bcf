"""Settings: defaults that deploy, overrides, and one sentence for what is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fmrec import cli
from fmrec.commands.plan_settings import read_settings
from fmrec.deployment.defaults import SETTINGS, TASKS
from fmrec.errors import SettingsError
from fmrec.execution.data_bucket import DataBucket
from fmrec.execution.execution_input import resolve
from fmrec.instances.workloads import DEFAULT_NUM_FACTORS, DEFAULT_RECOMMENDATIONS, number
from stacks.api_settings import Api
from stacks.image_registry import check_region, domain_suffix, regions, registry
from stacks.settings import Settings, from_context
from tests.infra.conftest import JWT as SCOPED
from tests.infra.conftest import PAGE

ROOT = Path(__file__).resolve().parents[2]


def test_no_setting_at_all_deploys_the_defaults() -> None:
    settings = from_context({})

    rating = settings.tasks["predict-rating"]
    assert rating.hyperparameters["num_factors"] == "64"
    assert rating.label["mode"] == "binary"
    assert rating.thresholds["binary_classification_accuracy"] == 0.65
    recommend = settings.tasks["recommend"]
    assert recommend.label["mode"] == "implicit"
    assert set(recommend.thresholds) == {"ndcg_at_10"}
    assert settings.dataset["split"] == {"method": "leave-first-n", "n": 10}
    assert settings.endpoint_name == "fmrec-knn"


def test_a_dotted_name_overrides_one_setting_and_json_several() -> None:
    context = {
        "fmrec": '{"glue": {"workers": 10}, "serving": {"endpoint": true}}',
        "fmrec.serving.endpoint": "false",
        "fmrec.tasks.recommend.hyperparameters.epochs": "3",
        "fmrec.name": "Trial",
        "@aws-cdk/core:something": True,
    }
    settings = from_context(context)

    assert settings.glue.workers == 10
    assert settings.serving.endpoint is False
    assert settings.tasks["recommend"].hyperparameters["epochs"] == "3"
    assert "num_factors" not in settings.tasks["recommend"].hyperparameters  # the data's shape gives it
    assert settings.tasks["predict-rating"].hyperparameters["epochs"] == "26"
    assert settings.prefix == "trial"


def test_a_regressor_has_its_own_defaults_and_no_thresholds_of_a_classifier() -> None:
    context = {
        "fmrec.tasks.predict-rating.label.mode": "regression",
        "fmrec.tasks.predict-rating.hyperparameters.predictor_type": "regressor",
        "fmrec.tasks.predict-rating.thresholds.rmse": "1.0",
    }
    settings = from_context(context)

    task = settings.tasks["predict-rating"]
    assert task.hyperparameters == {"num_factors": "64", "predictor_type": "regressor"}
    assert task.thresholds == {"rmse": 1.0}


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"fmrec": "{"}, "is not JSON"),
        ({"fmrec": "[]"}, "expected a JSON object"),
        ({"fmrec.colour": "red"}, "'colour' is unknown"),
        (
            {"fmrec.serving.recommendations_per_user": "0"},
            "recommendations_per_user is 0: expected an integer from 1",
        ),
        ({"fmrec.name": "fmrec"}, "name is 'fmrec'"),
        ({"fmrec.notification_email": "nobody"}, "notification_email is 'nobody'"),
        ({"fmrec.tasks.recommend.hyperparameters.epoch": "3"}, "did you mean 'epochs'"),
        ({"fmrec.tasks.recommend.hyperparameters.feature_dim": "3"}, "comes from the manifest"),
        (
            {"fmrec.tasks.recommend.hyperparameters.num_factors": "1"},
            "num_factors is 1: expected an integer at least 2",
        ),
        ({"fmrec.dataset.label.mode": "regression"}, "expected 'regressor'"),
        ({"fmrec.dataset.interactions.format": "xls"}, "interactions.format"),
        ({"fmrec.tasks.predict-rating.thresholds.rmse": "1"}, "a binary_classifier reports"),
        (
            {"fmrec.tasks.predict-rating.thresholds.binary_f_beta": '{"maximum": 1}'},
            "it needs exactly 'minimum'",
        ),
        ({"fmrec.tasks.recommend.thresholds.rmse": "1"}, "lists are judged by ranking metrics"),
        ({"fmrec.tasks.cook.label.mode": "binary"}, "input should be 'recommend' or 'predict-rating'"),
        ({"fmrec.task": "cook"}, "task is 'cook'"),
        ({"fmrec.glue.flex": "true", "fmrec.glue.worker_type": "G.8X"}, "Flex has only"),
        ({"fmrec.instances.policy.colour": "red"}, "policy.colour is not a known setting"),
        ({"fmrec.instances.policy.families": "[]"}, "families is empty"),
        (
            {"fmrec.instances.policy.instance_types": '{"fm_training": ["ml.m5d.large"]}'},
            "has disks of its own",
        ),
        ({"fmrec.instances.last_resort.training": "pray"}, "last_resort.training is 'pray'"),
        ({"fmrec.name.first": "x", "fmrec": '{"name": "A"}'}, "name is a value"),
    ],
)
def test_a_wrong_setting_is_a_sentence_that_names_it(context: Any, sentence: Any) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        from_context(context)


@pytest.mark.slow
def test_synthesis_ends_with_the_sentence_and_without_a_traceback(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": f"{ROOT / '.venv' / 'bin'}:/usr/bin:/bin",
            "CDK_CONTEXT_JSON": json.dumps({"fmrec.glue.workers": "1"}),
            "CDK_OUTDIR": str(tmp_path),
        },
    )

    assert done.returncode == 1
    assert "glue.workers is 1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_cdk_json_sets_every_feature_flag_that_the_library_recommends() -> None:
    import aws_cdk._jsii as package

    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    recommended = recommended_flags(Path(package.__file__).parent)

    assert len(recommended) > 80
    assert sorted(set(recommended) - set(flags)) == []
    partitions = "@aws-cdk/core:target-partitions"
    assert {k: flags[k] for k in recommended if k != partitions} == {
        k: v for k, v in recommended.items() if k != partitions
    }


def recommended_flags(package: Any) -> Any:
    import tarfile

    (archive,) = package.glob("aws-cdk-lib@*.jsii.tgz")
    with tarfile.open(archive) as opened:
        member = opened.extractfile("package/recommended-feature-flags.json")
        assert member is not None
        return json.load(member)


def test_the_registry_knows_every_region_of_both_algorithms() -> None:
    machines, neighbours = registry("factorization-machines"), registry("knn")

    assert machines == neighbours
    assert len(machines) == 37
    assert all(len(account) == 12 and account.isdigit() for account in machines.values())


@pytest.mark.parametrize(
    "region", ["ap-east-2", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "mx-central-1", "eu-wst-1"]
)
def test_a_region_without_images_is_refused_with_those_that_have_them(region: str) -> None:
    with pytest.raises(SettingsError, match=f"the Region is '{region}'") as refused:
        check_region(region)
    assert "eu-west-1" in str(refused.value)
    for known in regions():
        check_region(known)


@pytest.mark.slow
def test_synthesis_for_a_region_without_images_ends_with_the_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "CDK_DEFAULT_REGION": "mx-central-1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("the Region is 'mx-central-1': SageMaker has no images of")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("eu-west-1", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("us-isof-south-1", "csp.hci.ic.gov"),
    ],
)
def test_a_registry_has_the_domain_of_its_partition(region: Any, suffix: Any) -> None:
    assert domain_suffix(region) == suffix


def test_tuning_is_off_until_it_is_asked_for_and_checked_at_synth() -> None:
    assert Settings().tuning is None
    asked = from_context({"fmrec.tuning": '{"maximum_jobs": 5, "ranges": {"epochs": [2, 9]}}'})
    assert asked.tuning is not None
    assert asked.tuning.ranges == {"epochs": [2, 9]}
    with pytest.raises(SettingsError, match="num_factors can't be tuned"):
        from_context({"fmrec.tuning": '{"ranges": {"num_factors": [8, 64]}}'})


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().name = "Other"


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()

    def names(model: Any, prefix: Any = "") -> Any:
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from names(field.annotation, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}"

    documented = set(re.findall(r"`([a-z_.]+)`", text))
    assert sorted(set(names(Settings)) - documented) == []


def test_settings_the_command_line_and_the_functions_have_one_source_of_each_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = from_context({})
    assert set(Settings.model_fields) == set(SETTINGS)
    deployed = {
        "task": settings.task,
        "tasks": {name: task.model_dump() for name, task in settings.tasks.items()},
        "dataset": settings.dataset,
        "serving": settings.serving.of_a_run,
    }
    for task in TASKS:
        run = resolve("run", {"task": task}, deployed, DataBucket("s3://data"))
        planned = read_settings(None, "", task)
        assert planned.hyperparameters == run["hyperparameters"] == settings.tasks[task].hyperparameters
        assert planned.serving == run["serving"]
        assert planned.policy == settings.instances.policy
        # What an empty request falls back on.
        assert number({}, "num_factors", DEFAULT_NUM_FACTORS) == 64
        assert run["serving"]["recommendations_per_user"] == DEFAULT_RECOMMENDATIONS
        with pytest.raises(SystemExit):
            cli.main(["plan", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert f"as deployed, or {DEFAULT_RECOMMENDATIONS}" in text
        assert f"as in --settings, or {settings.task}" in text
    assert read_settings(None, "", None).task == settings.task


JWT = {"issuer": "https://id.example/", "audience": ["shop"]}


@pytest.mark.parametrize(
    ("api", "sentence"),
    [
        (
            {"jwt": JWT | {"issuer": "http://id.example"}},
            "api.jwt.issuer is 'http://id.example': expected the",
        ),
        ({"jwt": JWT | {"issuer": "https://id.example?x=1"}}, "without a query"),
        ({"jwt": JWT | {"audience": []}}, "api.jwt.audience is []"),
        ({"jwt": {"issuer": "https://id.example"}}, "api.jwt.audience"),
        ({"jwt": JWT | {"scopes": {"GET /all": ["a"]}}}, "names 'GET /all', which the API doesn't have"),
        (
            {"jwt": JWT | {"scopes": {"POST /events": ["a"]}}},
            "names 'POST /events', which the API has with api.events only",
        ),
        ({"jwt": JWT | {"scopes": {"*": []}}}, "api.jwt.scopes.* is empty"),
        ({"jwt": JWT | {"scopes": {"*": ["a b"]}}}, "the scope 'a b' of api.jwt can't be in a token"),
        ({"jwt": JWT | {"user_claim": None, "any_user_scope": "a"}}, "api.jwt.user_claim is null"),
        ({"cors": {"allowed_origins": ["https://a.example/shop"]}}, "has 'https://a.example/shop': expected"),
        ({"cors": {"allowed_origins": ["http://a.example"]}}, "http:// for localhost only"),
        ({"cors": {"allowed_origins": ["*", "https://a.example"]}}, "keep '*' or the others"),
        ({"cors": {"allowed_origins": []}}, "api.cors.allowed_origins is []"),
        ({"item_names": {"key": "champion/a.csv"}}, "expected a file under raw/ of the data bucket"),
        ({"page": PAGE}, "api.page is set and api.jwt is not"),
        (
            {"jwt": SCOPED, "events": {}, "page": PAGE | {"scopes": ["openid"]}},
            "api.jwt.scopes wants one of lists/read",
        ),
        ({"jwt": SCOPED, "page": PAGE | {"scopes": ["lists/read"]}}, "expected 'openid' among them"),
        ({"jwt": JWT, "page": PAGE | {"store_clicks": True}}, "api.events is not set"),
        (
            {"jwt": SCOPED, "events": {}, "page": PAGE | {"store_clicks": True}},
            "the page can't ask for POST /events: api.jwt.scopes wants one of events/write",
        ),
        (
            {"jwt": SCOPED, "events": {}, "page": PAGE | {"audience": "https://lists.example"}},
            "api.page.audience is 'https://lists.example', which the page's tokens are for, and api.jwt.audience takes "
            "shop only: add it there",
        ),
        ({"jwt": SCOPED, "page": PAGE | {"domain": "Page.example"}}, "expected a host in lower case"),
        (
            {
                "jwt": JWT,
                "page": PAGE | {"certificate": str(PAGE["certificate"]).replace("us-east-1", "eu-west-1")},
            },
            "in us-east-1, whatever the deployment's Region",
        ),
        (
            {"jwt": SCOPED, "page": PAGE | {"token_endpoint": "http://a.example/t"}},
            "expected an https:// URL",
        ),
        (
            {"jwt": SCOPED, "page": PAGE | {"sign_out_endpoint": "https://a.example/?x"}},
            "expected an https:// URL",
        ),
        ({"item_names": {"key": "raw/*.csv"}}, "api.item_names.key is 'raw/*.csv'"),
        ({"cors": {"allowed_origins": ["*"], "max_age_seconds": 86401}}, "max_age_seconds is 86401"),
    ],
)
def test_callers_that_make_no_sense_are_refused(api: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        from_context({"fmrec.api": json.dumps(api)})


def test_an_endpoint_ranks_only_where_runs_make_one() -> None:
    context = {"fmrec.api": '{"endpoint_from_items": 5}', "fmrec.serving.endpoint": "false"}
    with pytest.raises(SettingsError, match="endpoint_from_items is 5, but runs make no k-NN endpoint"):
        from_context(context)
    assert from_context(context | {"fmrec.serving.endpoint": "true"}).api is not None


def test_a_token_speaks_for_its_own_user_unless_a_setting_says_otherwise() -> None:
    def api(**jwt: Any) -> Api:
        found = from_context({"fmrec.api": json.dumps({"jwt": JWT | jwt})}).api
        assert found is not None
        return found

    assert api().callers == {"USER_CLAIM": "sub"}
    assert api(user_claim=None).callers == {}
    scopes = {"*": ["a"], "POST /rank": ["b"]}
    jwt = api(scopes=scopes).jwt
    assert jwt is not None
    assert [jwt.scopes_of(route) for route in ("POST /rank", "GET /popular")] == [["b"], ["a"]]
    origins = ["https://a.example:8443", "http://localhost:3000"]
    assert from_context({"fmrec.api": json.dumps({"cors": {"allowed_origins": origins}})}).api is not None


@pytest.mark.parametrize(
    ("interactions", "sentence"),
    [
        ({"path": "ratings.csv"}, "expected a folder below the raw prefix"),
        ({"path": "2024/*/"}, "expected a folder below the raw prefix"),
        ({"path": "a/", "timestamp_format": "dd.MM.yyyy", "timezone": "Europe/Vienna"}, "timezone"),
        ({"path": "a/", "timestamp_format": "DDD yyyy"}, "'DDD'"),
        (
            {"path": "a/", "item_value_separator": "-", "columns": {"user": "u", "item": "i", "value": "i"}},
            "a column of its own for each",
        ),
    ],
)
def test_events_are_refused_where_files_of_interactions_can_not_hold_them(
    interactions: dict[str, Any], sentence: str
) -> None:
    document = {"interactions": interactions, "split": {"method": "none"}}
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        from_context({"fmrec": {"api": {"events": {}}, "dataset": document}})
    assert from_context({"fmrec": {"api": {}, "dataset": document}}).events is None
