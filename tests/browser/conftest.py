"""A deployed API without a cloud, the page in front of it, and Chromium."""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.oracles.environments import browser_from_npm
from fmrec.client import Client
from fmrec.deployment.defaults import DATASET, TASKS
from fmrec.events.erasure import Eraser, kept
from fmrec.events.event_files import EventFiles
from fmrec.events.event_table import EventTable
from fmrec.execution import run_report
from fmrec.explore.routes import Routes
from fmrec.explore.server import Server
from fmrec.live.api import erasure_routes, event_routes
from fmrec.live.api import routes as reading_routes
from fmrec.live.api.callers import Callers
from fmrec.live.item_names import ItemNames, StoredNames
from fmrec.live.served_model import Champion
from fmrec.registry import champion as records
from fmrec.storage import s3_client
from tests.browser import chromium
from tests.fixtures.dynamodb import create_table
from tests.fixtures.serving import Serving, serving
from tests.fixtures.taste_runs import ITEMS, write_attribute, write_taste_run
from tests.fixtures.wsgi_gateway import Authorize, Gateway

expect.set_options(timeout=15_000)
TASTES = ("Comedy", "Western", "Horror", "Musical")


@dataclass(frozen=True)
class Explored:
    """A served page, and a client of the API behind it."""

    server: Server
    client: Client

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium; without one the tests are skipped, but never in CI."""
    try:
        found = chromium.find()
    except RuntimeError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=found.program,
            args=list(chromium.FLAGS),
            env={**os.environ, **found.environment},
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that judges accessibility."""
    return (browser_from_npm() / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def emulated(emulator_url: str) -> Iterator[None]:
    """The environment in which S3 and DynamoDB are the emulator's."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", emulator_url),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        s3_client.forget_client()
        yield
        s3_client.forget_client()


@pytest.fixture(scope="module")
def client(emulated: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of the API's own code, over a run of four tastes."""
    gateway = write_gateway(tmp_path_factory.mktemp("explored"), f"explored-{uuid.uuid4().hex[:8]}")
    with serving(gateway) as url:
        session = botocore.session.Session()
        session.set_credentials("test", "test")
        yield Client(url, region="us-east-1", session=session)


@pytest.fixture(scope="module")
def explored(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explored]:
    """The page, which stores clicks of named users and knows names of items."""
    names = tmp_path_factory.mktemp("names") / "names.csv"
    names.write_text(titles())
    known = ItemNames.read(names, COLUMNS)
    routes = Routes(client, known, store_clicks=True)
    with Server(routes) as server, Serving(server):
        yield Explored(server, client)


@pytest.fixture
def console() -> list[str]:
    """What the page logs; a test that expects something takes it out."""
    return []


@pytest.fixture
def page(browser: Browser, explored: Explored, console: list[str]) -> Iterator[Page]:
    """The page as it is when it has loaded; no error is logged, and nobody else is asked for anything."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    opened = context.new_page()
    asked: set[str] = set()
    opened.on("console", lambda message: console.append(message.text))
    opened.on("pageerror", lambda error: console.append(str(error)))
    opened.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
    opened.goto(explored.url)
    opened.wait_for_selector("#items > li")
    yield opened
    context.close()
    assert console == []
    assert asked == {explored.url.rpartition("/")[0]}


COLUMNS = ("id", "title", "year", "genres")


def titles() -> str:
    """A file of names of all items."""
    rows = [f"i{n},{TASTES[n % 4]} number {n},{1950 + n},{TASTES[n % 4]}|Film" for n in range(ITEMS)]
    return "\n".join([",".join(COLUMNS), *rows])


def write_gateway(
    folder: Path,
    bucket: str,
    *,
    callers: Callers | None = None,
    names: StoredNames | None = None,
    authorize: Authorize | None = None,
    origin: str = "",
) -> Gateway:
    """The API over a run of four tastes that is written into a new bucket."""
    run = write_taste_run(folder, label=TASKS["recommend"]["label"])
    write_attribute(run, "genre", TASTES)
    manifest = Path(run.manifest_uri)
    document = json.loads(manifest.read_text())
    document["dataset"] = DATASET | document["dataset"]
    manifest.write_text(json.dumps(document))
    root = f"s3://{bucket}"
    s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
    s3.create_bucket(Bucket=bucket)
    places = {
        kind: f"{root}/{kind}/r/{name}.json"
        for kind, name in (("encoded", "manifest"), ("embeddings", "embeddings"))
    }
    record = records.Champion("r", "recommend", "m1", "", places["encoded"], places["embeddings"])
    (folder / "champion").mkdir()
    (folder / "champion/model.json").write_text(json.dumps(asdict(record)))
    run_report.write(report(), str(folder / "runs/r/report.json"))
    for path in folder.rglob("*.*"):
        s3.upload_file(str(path), bucket, path.relative_to(run.folder).as_posix())
    lists, table = f"lists-{bucket}", f"events-{bucket}"
    create_table(dynamodb, lists, "user_id")
    create_table(dynamodb, table, "user_id", "entry")
    events = EventTable(table, client=dynamodb)
    champion = Champion(root, lists, events=events, names=names, client=dynamodb)
    eraser = Eraser(root, lists, events, "default")
    return Gateway(
        reading_routes.build(champion, callers),
        event_routes.build(events, EventFiles.of(DATASET), 90, callers),
        erasure_routes.build(eraser, kept(90, 30), callers),
        authorize=authorize,
        origin=origin,
    )


def report() -> dict[str, Any]:
    """The report of the run that serves."""

    def measured(value: float) -> dict[str, Any]:
        return {"metrics": {"ndcg_at_10": value}}

    folded_in = {
        "basis": "left-out", "users": 20, "regularization": 4, "negative_weight": 0.02,
        "popularity": measured(0.1161),
        "by_interactions": {"all": measured(0.2851), "5": measured(0.2361), "1": measured(0.1681)},
    }  # fmt: skip
    evaluation = {
        "k": 10, "users": 90, "model": measured(0.3071), "champion": None, "folded_in": folded_in,
        "baselines": {"most_rated": measured(0.1333), "most_liked": measured(0.1222)},
        "simple_models": {"ease": measured(0.3012)},
    }  # fmt: skip
    chosen = {
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "usd_per_hour": 0.115,
        "why": "the cheapest that fits",
    }
    return {
        "run": "r", "task": "recommend", "evaluation": evaluation, "sizes": {"users": 90, "items": ITEMS},
        "chosen": {"fm_training": chosen, "knn_endpoint": chosen},
        "jobs": {"fm_training": {"name": "a", "seconds": 400, "billable_seconds": 360}},
        "refusals": [{"step": "fm_training", "instance_type": "ml.m5.xlarge", "cause": "the quota is 0"}],
        "verdict": {"sentence": "The model is good enough."}, "tuned": None, "decision": None,
        "model_package": {"group": "g", "version": 1},
        "published": {"users": 90, "recommendations": 900, "table": "T"},
        "endpoint": {"name": "e", "status": "InService", "answer": None},
    }  # fmt: skip
