"""The deployed page in Chromium: its files with CloudFront's headers, a sign-in, and the API's own code."""

import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from fmrec.client import Client
from fmrec.explore.page_files import deployed_headers
from fmrec.explore.published_page import publish
from fmrec.live.api.callers import Callers
from fmrec.live.item_names import StoredNames
from fmrec.storage import s3_client
from tests.browser.conftest import COLUMNS, titles, write_gateway
from tests.browser.provider import Provider
from tests.browser.test_explore import items, violations
from tests.fixtures.serving import serving


@dataclass
class CloudFront:
    """Objects of a bucket with the headers of the distribution, as a WSGI application."""

    bucket: str
    headers: dict[str, str]

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        s3 = s3_client.s3_client()  # threads share a client, but may not make one of one session
        try:
            found = s3.get_object(Bucket=self.bucket, Key=environ["PATH_INFO"][1:] or "index.html")
        except s3.exceptions.NoSuchKey:
            start_response("403 Forbidden", list(self.headers.items()))
            return []
        own = [("Content-Type", found["ContentType"]), ("Cache-Control", found["CacheControl"])]
        start_response("200 OK", [*own, *self.headers.items()])
        return [found["Body"].read()]


@dataclass
class Deployed:
    """Where the page and the API are, and the provider."""

    page: str
    api: str
    provider: Provider


@pytest.fixture(scope="module")
def served(emulated: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    bucket, site = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("deployed", "site"))
    provider, front = Provider(), CloudFront(site, {})
    with serving(provider) as provider.url, serving(front) as provider.page:
        names = StoredNames(f"s3://{bucket}/raw/items/films.csv", COLUMNS)
        gateway = write_gateway(
            tmp_path_factory.mktemp("deployed"),
            bucket,
            callers=Callers("sub", "lists/any-user"),
            names=names,
            authorize=provider.claims,
            origin=provider.page,
        )
        s3 = boto3.client("s3")
        s3.put_object(Bucket=bucket, Key="raw/items/films.csv", Body=titles().encode())
        with serving(gateway) as api:
            front.headers = deployed_headers(api, provider.url)
            s3.create_bucket(Bucket=site)
            publish(s3, site, {"api": api, "store_clicks": True, "sign_in": provider.settings()})
            yield Deployed(provider.page, api, provider)


@pytest.fixture
def deployed(served: Deployed) -> Deployed:
    """The provider as it is at first."""
    first = Provider(served.provider.url, served.provider.page)
    served.provider.__dict__.update(first.__dict__)
    return served


@pytest.fixture
def page(browser: Browser, deployed: Deployed, console: list[str]) -> Iterator[Page]:
    """The page before anybody has signed in; a test takes out what it expects to be logged."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(30_000)  # a sign-in loads the page, its modules and four answers anew
    opened = context.new_page()
    asked: set[str] = set()
    opened.on("console", lambda message: console.append(message.text))
    opened.on("pageerror", lambda error: console.append(str(error)))
    opened.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
    opened.goto(f"{deployed.page}/")
    expect(opened.get_by_role("button", name="Sign in")).to_be_focused()
    assert asked == {deployed.page}
    yield opened
    context.close()
    assert console == []
    assert asked <= {deployed.page, deployed.api, deployed.provider.url}


@pytest.fixture
def recommended(page: Page) -> Locator:
    return page.locator("#items")


def sign_in(page: Page) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#items > li")


def client(page: Page, deployed: Deployed) -> Client:
    """Of the page's own token."""
    kept = page.evaluate("JSON.parse(sessionStorage.getItem('sign-in-token'))")
    return Client(deployed.api, token=kept["access_token"])


def test_a_reader_signs_in_clicks_and_sees_the_list_change(
    page: Page, recommended: Locator, deployed: Deployed
) -> None:
    sign_in(page)
    assert page.url == f"{deployed.page}/"
    assert deployed.provider.asked == ["GET /authorize", "POST /token"]
    own = client(page, deployed)
    popular = [item.item_id for item in own.popular().items]
    assert items(recommended) == popular
    expect(page.locator("#deployment")).to_contain_text("run r · trained on 90 users and 120 items")
    recommended.get_by_role("button", name="Like").first.click()
    expect(page.locator("#source")).to_have_text("live")
    assert items(recommended) == [item.item_id for item in own.recommend(popular[:1]).items]
    expect(recommended.locator("b").first).to_have_text(
        re.compile(r"(Comedy|Western|Horror|Musical) number \d+")
    )
    page.get_by_label("Find an item by its name").fill("western 9")
    expect(page.locator("#found button").first).to_contain_text("Western number 9")
    # A tab keeps the sign-in over a reload, and nothing else keeps it.
    page.reload()
    page.wait_for_selector("#items > li")
    assert page.evaluate("[Object.keys(localStorage), document.cookie]") == [[], ""]


def test_the_policy_keeps_the_page_from_other_hosts_and_scripts(page: Page, console: list[str]) -> None:
    page.evaluate("fetch('https://evil.example/').catch(() => null)")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))"
    )
    assert page.title() == "Explore recommendations"
    assert len([text for text in console if "Content Security Policy" in text]) >= 2
    console.clear()


def test_a_reader_has_the_own_list_whose_clicks_are_stored_and_is_not_offered_what_is_refused(
    page: Page, recommended: Locator, deployed: Deployed
) -> None:
    deployed.provider.user = "somebody"
    sign_in(page)
    own = client(page, deployed)
    page.get_by_role("radio", name="You").check()
    expect(page.locator("#source")).to_have_text("cold start")
    expect(page.locator("#status")).to_contain_text("Nothing is known of you yet")
    recommended.get_by_role("button", name="Like").first.click()
    expect(page.locator("#source")).to_have_text("live")
    assert items(recommended) == [item.item_id for item in own.recommendations("somebody").items]
    for text in ("User id", "Some users"):
        expect(page.get_by_label(text)).to_be_hidden()
    expect(page.locator("#quality")).to_be_hidden()
    expect(page.get_by_role("link", name="Instances and cost")).to_be_hidden()
    recommended.get_by_role("button", name="Similar to").first.click()
    expect(page.locator("#similar > li")).to_have_count(8)
    expect(page.get_by_text("Users who may want it")).to_be_hidden()


def test_a_token_for_any_user_is_offered_all_of_it(page: Page, deployed: Deployed) -> None:
    deployed.provider.scope += " lists/any-user"
    sign_in(page)
    expect(page.locator("#quality")).to_contain_text("The model is good enough.")
    page.get_by_role("radio", name="A user").check()
    expect(page.locator("#suggested button").first).to_be_visible()
    page.get_by_label("User id").fill("u1")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#status")).to_contain_text("For user u1:")


def test_without_a_claim_of_users_anybody_is_offered_every_user(
    page: Page, deployed: Deployed, console: list[str]
) -> None:
    # As config.json is then: without what is null. The API of this test still refuses what is about many.
    settings = deployed.provider.settings()
    del settings["user_claim"], settings["any_user_scope"], settings["sign_out_endpoint"]
    config = {"api": deployed.api, "store_clicks": False, "sign_in": settings}
    page.route("**/config.json", lambda route: route.fulfill(json=config))
    page.reload()
    sign_in(page)
    expect(page.get_by_role("radio", name="A user")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("The answer is about many users")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    assert "GET /logout" not in deployed.provider.asked
    assert all("403" in text for text in console)
    console.clear()


def test_a_provider_is_told_for_which_api_a_token_is_where_it_must_be(
    page: Page, deployed: Deployed, console: list[str]
) -> None:
    deployed.provider.api = {"audience": "https://lists.example", "resource": "https://lists.example/v1"}
    page.get_by_role("button", name="Sign in").click()
    signed_out(page, "The API does not take this sign-in any more")
    assert all("401" in text for text in console)
    console.clear()
    settings = deployed.provider.settings() | deployed.provider.api
    config = {"api": deployed.api, "store_clicks": False, "sign_in": settings}
    page.route("**/config.json", lambda route: route.fulfill(json=config))
    page.reload()
    sign_in(page)


def signed_out(page: Page, why: str) -> None:
    """The page says why, shows nothing and has kept nothing."""
    expect(page.locator("#signed-out-why")).to_contain_text(why)
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    expect(page.locator("#explore")).to_be_hidden()
    assert page.locator("#items > li, #popular > li, #liked > li").count() == 0
    assert page.evaluate("sessionStorage.getItem('sign-in-token')") is None


@pytest.mark.parametrize(
    ("tampered", "why", "asked"),
    [
        ({"state": "x" * 43}, "This answer belongs to another sign-in", ["GET /authorize"]),
        ({"nonce": "x" * 43}, "is not for this sign-in", ["GET /authorize", "POST /token"]),
        (
            {"error": "access_denied", "error_description": "Not today"},
            "The sign-in was refused: Not today",
            ["GET /authorize"],
        ),
    ],
)
def test_an_answer_of_another_sign_in_is_not_taken(
    page: Page, deployed: Deployed, tampered: dict[str, str], why: str, asked: list[str]
) -> None:
    deployed.provider.tampered = tampered
    page.get_by_role("button", name="Sign in").click()
    signed_out(page, why)
    assert deployed.provider.asked == asked
    expect(page).to_have_url(f"{deployed.page}/")
    deployed.provider.tampered = {}
    sign_in(page)


def test_a_code_that_nobody_has_asked_for_is_not_taken(page: Page, deployed: Deployed) -> None:
    page.goto(f"{deployed.page}/?code=stolen&state=guessed")
    signed_out(page, "This answer belongs to another sign-in")
    assert deployed.provider.asked == []


def test_a_code_that_the_provider_refuses_is_no_sign_in(
    page: Page, deployed: Deployed, console: list[str]
) -> None:
    deployed.provider.tampered = {"code": "spent"}
    page.get_by_role("button", name="Sign in").click()
    signed_out(page, "The sign-in could not be completed")
    assert "400" in console.pop()


def test_a_token_that_has_expired_is_not_sent_and_everything_leaves_the_page(
    page: Page, recommended: Locator
) -> None:
    page.clock.install()
    sign_in(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.set_fixed_time(time.time() + 3600)
    recommended.get_by_role("button", name="Like").first.click()
    signed_out(page, "Your sign-in has expired: sign in again.")
    assert asked == []


def test_a_token_that_the_api_refuses_is_dropped(
    page: Page, recommended: Locator, deployed: Deployed, console: list[str]
) -> None:
    sign_in(page)
    deployed.provider.revoked = True
    recommended.get_by_role("button", name="Like").first.click()
    signed_out(page, "The API does not take this sign-in any more: sign in again.")
    assert all("401" in text for text in console)
    console.clear()


def test_signing_out_ends_it_here_and_at_the_provider(page: Page, deployed: Deployed, axe: str) -> None:
    deployed.provider.scope += " lists/any-user"
    page.route("**/logout?*", lambda route: route.fulfill(status=204))  # stays on the page
    sign_in(page)
    expect(page.locator("#verdict")).to_contain_text("The model is good enough.")
    page.get_by_role("button", name="Sign out").click()
    # As the browser shows it again when the reader goes back.
    signed_out(page, "")
    left = "#status, #verdict, #cost, #quality-tables, #instances-table, #deployment"
    assert "".join(page.locator(left).all_text_contents()) == ""
    page.unroute("**/logout?*")
    sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{deployed.page}/")
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    assert deployed.provider.asked[-1] == "GET /logout"
    signed_out(page, "")
    assert violations(page, axe, "light") == []
    page.go_back()
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
