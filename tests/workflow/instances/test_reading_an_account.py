"""Reading quotas, use and prices, and asking for more, against a local cloud's real answers over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from fmrec.instances import account
from fmrec.instances.quota_increases import increase_for

SIZES = ["--rows", "100000", "--users", "943", "--items", "1682"]


@dataclass(frozen=True)
class Cloud:
    """A brand-new account without anything deployed."""

    endpoint_url: str

    def session(self) -> boto3.Session:
        return boto3.Session("test", "test", region_name="us-east-1")

    def client(self, name: str) -> Any:
        return self.session().client(name, endpoint_url=self.endpoint_url)

    def put(self, path: str, document: Any) -> None:
        request = urllib.request.Request(
            f"{self.endpoint_url}/_localcloud/{path}", json.dumps(document).encode(), method="PUT"
        )
        urllib.request.urlopen(request, timeout=30).close()

    def fmrec(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a person would, who has only the endpoint's URL set differently."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        return subprocess.run(
            [sys.executable, "-m", "fmrec", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def new_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("cloud")
    command = [sys.executable, "-m", "localcloud"]
    subprocess.run([*command, "start", "--state", state, "--quotas", "new-account"], check=True)
    try:
        yield Cloud(json.loads(Path(state, "localcloud.json").read_text())["endpoint_url"])
    finally:
        subprocess.run([*command, "stop", "--state", state], check=True)


@pytest.fixture
def cloud(new_account: Cloud) -> Iterator[Cloud]:
    yield new_account
    new_account.put("faults", {})


def test_quotas_are_read_and_held_against_what_the_settings_need(cloud: Cloud) -> None:
    done = cloud.fmrec("quotas", *SIZES, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["notes"] == []
    rows = {(row["step"], row["quota_name"]): row for row in answer["quotas"]}
    refused = rows["batch_transform", "ml.m5.large for transform job usage"]
    assert (refused["applied"], refused["used"], refused["enough"]) == (0, 0, False)
    assert refused["quota_code"] == "L-236AE59F"
    taken = rows["batch_transform", "ml.m5.xlarge for transform job usage"]
    assert (taken["applied"], taken["used"], taken["enough"]) == (1, 0, True)


def test_a_plan_for_a_new_account_falls_back_with_live_prices(cloud: Cloud) -> None:
    document = json.loads(cloud.fmrec("plan", *SIZES, "--account", "--json").stdout)
    first = {name: step["candidates"][0]["instance_type"] for name, step in document["steps"].items()}
    assert first["fm_training"] == "ml.m5.large"
    assert first["batch_transform"] == "ml.m5.xlarge"
    assert document["cost"]["prices"]["instances"].startswith("Pricing API, us-east-1")


def test_denied_services_leave_a_plan_with_notes_and_the_tables_prices(cloud: Cloud) -> None:
    cloud.put("faults", {"denied": ["service-quotas", "pricing"]})
    done = cloud.fmrec("plan", *SIZES, "--account", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "quota unknown" in document["steps"]["fm_training"]["candidates"][0]["why"]
    assert "ListServiceQuotas answered AccessDeniedException" in " ".join(document["notes"])
    assert document["cost"]["prices"]["instances"].startswith("built-in table")


def test_a_throttled_account_is_unknown_within_the_time_allowed(cloud: Cloud) -> None:
    cloud.put("faults", {"throttle_until": time.time() + 300})
    started = time.monotonic()
    done = cloud.fmrec("plan", *SIZES, "--account", "--json")
    assert time.monotonic() - started < 60
    assert done.returncode == 0, done.stderr
    notes = " ".join(json.loads(done.stdout)["notes"])
    assert "quotas couldn't be read and count as unknown" in notes
    assert "use by endpoints couldn't be read and count as unknown" in notes


def test_an_increase_is_asked_for_once(cloud: Cloud) -> None:
    quotas = cloud.client("service-quotas")
    increase = increase_for("ml.m5.large for transform job usage", limit=0, used=0, wanted=1)
    assert not account.request_increase(quotas, increase, allowed=False).asked
    first = account.request_increase(quotas, increase, allowed=True)
    assert (first.asked, first.status) == (True, "PENDING")
    second = account.request_increase(quotas, increase, allowed=True)
    assert not second.asked
    assert "already open" in second.sentence
    assert second.request_id == first.request_id
