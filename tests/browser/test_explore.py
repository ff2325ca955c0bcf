"""The page of `fmrec explore` in Chromium, over the API's own code."""

import re
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import Explored


def items(place: Locator) -> list[str]:
    """Item ids of a list, as the page shows it."""
    return [str(row.get_attribute("data-item")) for row in place.locator("> li").all()]


@pytest.fixture
def recommended(page: Page) -> Locator:
    return page.locator("#items")


def test_somebody_new_sees_what_is_popular_and_clicks_change_the_list_and_say_why(
    page: Page, recommended: Locator, explored: Explored
) -> None:
    popular = [item.item_id for item in explored.client.popular().items]
    assert items(recommended) == items(page.locator("#popular")) == popular
    expect(page.locator("#status")).to_contain_text("Nothing is known of somebody new yet")
    expect(page.locator("#shared")).to_contain_text("10 of these 10")

    first, second = popular[0], "i9"
    recommended.get_by_role("button", name="Like").first.click()
    expect(page.locator("#source")).to_have_text("live")
    expect(page.locator("#status")).to_contain_text("from 1 liked item.")
    assert items(recommended) == [item.item_id for item in explored.client.recommend([first]).items]
    expect(recommended.locator(".change.new").first).to_have_text("new")

    page.get_by_label("Find an item by its name").fill("number 9")
    page.locator("#found").get_by_role("button", name="Western number 9 1959").click()
    expect(page.locator("#status")).to_contain_text("from 2 liked items.")
    found = explored.client.recommend([second, first], because=5).items
    assert items(recommended) == [item.item_id for item in found]
    reason = found[0].because[0]
    row = recommended.locator("> li").first
    row.locator("summary").click()
    expect(row.locator("summary")).to_contain_text("because you liked")
    expect(row.locator("tbody tr").first).to_contain_text(f"+{reason.contribution:.2f}")

    page.get_by_role("button", name="Remove Western number 9").click()
    expect(page.locator("#status")).to_contain_text("from 1 liked item.")
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#source")).to_have_text("cold start")
    assert items(recommended) == popular


def test_a_chosen_users_and_an_invented_users_clicks_are_stored_and_change_their_lists(
    page: Page, recommended: Locator, explored: Explored
) -> None:
    page.get_by_role("radio", name="A user").check()
    chip = page.locator("#suggested").get_by_role("button").first
    user = chip.inner_text()
    chip.click()
    expect(page.locator("#status")).to_contain_text(f"For user {user}: folded in for this request")
    assert items(recommended) == [
        item.item_id for item in explored.client.recommendations(user, because=5).items
    ]
    page.get_by_label("say why").uncheck()
    expect(recommended.locator("summary")).to_have_count(0)

    page.get_by_label("User id").fill("nobody, yet")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#source")).to_have_text("cold start")
    expect(page.get_by_label("A click counts as")).to_have_value("4")
    liked = items(recommended)[2]
    recommended.get_by_role("button", name="Like").nth(2).click()
    expect(page.locator("#source")).to_have_text("live")
    assert items(recommended) == [
        item.item_id for item in explored.client.recommendations("nobody, yet").items
    ]
    assert liked not in items(recommended)


def test_an_item_has_similar_ones_and_an_audience_whose_lists_are_a_click_away(
    page: Page, recommended: Locator, explored: Explored
) -> None:
    item = items(recommended)[0]
    recommended.get_by_role("button", name="Similar to").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(page.locator("#audience button").first).to_be_visible()
    assert items(page.locator("#similar")) == [
        each.item_id for each in explored.client.similar(item, n=8).items
    ]
    user = explored.client.audience(item)[0].user_id
    dialog.get_by_role("button", name=f"User {user}", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#status")).to_contain_text(f"For user {user}:")


def test_everything_can_be_done_with_the_keyboard_alone(page: Page, recommended: Locator) -> None:
    keyboard = page.keyboard
    keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the recommendations")).to_be_focused()
    keyboard.press("Enter")
    focused = page.locator(":focus")
    for _ in range(5):
        keyboard.press("Tab")
    first = items(recommended)[0]
    expect(focused).to_have_accessible_name(re.compile("^Like "))
    keyboard.press("Enter")
    expect(page.locator("#source")).to_have_text("live")
    assert first not in items(recommended)
    # The row is gone: the focus is on the one that took its place.
    expect(recommended.locator("> li").first.get_by_role("button", name="Like")).to_be_focused()

    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(focused).to_have_accessible_name(re.compile("^Similar to "))

    page.get_by_label("Find an item by its name").focus()
    keyboard.type("musical number 7")
    expect(page.locator("#found")).to_contain_text("Musical number 7")
    keyboard.press("Enter")
    expect(page.locator("#liked")).to_contain_text("Musical number 7")
    page.get_by_role("radio", name="Somebody new").focus()
    keyboard.press("ArrowRight")
    expect(page.get_by_label("User id")).to_be_visible()


def test_settings_of_the_list_are_the_apis(page: Page, recommended: Locator, explored: Explored) -> None:
    recommended.get_by_role("button", name="Like").first.click()
    expect(page.locator("#source")).to_have_text("live")
    page.get_by_role("combobox", name="Items").select_option("20")
    expect(recommended.locator("> li")).to_have_count(20)
    page.get_by_label("Diversity").press("End")
    liked = [item.item_id for item in explored.client.popular(n=1).items]
    diverse = [item.item_id for item in explored.client.recommend(liked, n=20, diversity=1).items]
    expect(recommended.locator("> li").nth(1)).to_have_attribute("data-item", diverse[1])
    assert items(recommended) == diverse


def test_the_list_is_filtered_by_attributes_with_the_keyboard_alone(
    page: Page, recommended: Locator, explored: Explored
) -> None:
    keyboard, chosen = page.keyboard, page.locator("#filter-list > li")
    page.locator("#filters summary").focus()
    keyboard.press("Enter")
    kind = page.get_by_label("Kind of filter")
    expect(kind).to_be_visible()
    page.locator("#filters summary").focus()
    keyboard.press("Tab")
    expect(kind).to_be_focused()
    expect(page.locator("#filter-values option").first).to_have_attribute("value", "Comedy")
    for _ in range(2):
        keyboard.press("Tab")
    expect(page.get_by_label("Value")).to_be_focused()
    keyboard.type("Western")
    keyboard.press("Enter")
    expect(chosen).to_have_text(["only genre: Western×"])
    western = [item.item_id for item in explored.client.popular(where={"genre": ["Western"]}).items]
    expect(recommended.locator("> li").first).to_have_attribute("data-item", western[0])
    assert items(recommended) == western
    assert {int(item[1:]) % 4 for item in western} == {1}

    # The filters hold for a user's list, too, which is asked for with them in the query.
    page.get_by_role("radio", name="A user").check()
    page.get_by_label("User id").fill("u0")
    keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("For user u0: folded in")
    found = explored.client.recommendations("u0", where={"genre": ["Western"]}).items
    assert items(recommended) == [item.item_id for item in found]

    page.get_by_role("button", name="Remove only genre: Western").focus()
    keyboard.press("Enter")
    expect(chosen).to_have_count(0)
    expect(kind).to_be_focused()
    kind.select_option("at most")
    expect(page.get_by_label("Value")).to_be_hidden()
    page.get_by_label("Items of a kind").fill("1")
    page.get_by_role("button", name="Add filter").press("Enter")
    expect(recommended.locator("> li")).to_have_count(4)
    kind.select_option("no items with")
    page.get_by_label("Value").fill("Comedy")
    page.get_by_role("button", name="Add filter").press("Enter")
    expect(recommended.locator("> li")).to_have_count(3)
    assert {int(item[1:]) % 4 for item in items(recommended)} == {1, 2, 3}


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(page: Page, recommended: Locator) -> None:
    held: list[Route] = []
    page.route("**/api/recommendations", lambda route: route.continue_() if held else held.append(route))
    buttons = page.locator("#popular").get_by_role("button", name="Like")
    buttons.nth(0).click()
    buttons.nth(1).click()
    expect(page.locator("#status")).to_contain_text("from 2 liked items.")
    shown = items(recommended)
    with page.expect_response("**/api/recommendations"):
        held[0].continue_()
    # Its names are looked up next, and only then it would be drawn.
    page.get_by_role("button", name="Similar to").first.click()
    expect(page.locator("#audience button").first).to_be_visible()
    assert items(recommended) == shown


def test_quality_instances_and_cost_are_those_of_the_run_that_serves(page: Page) -> None:
    expect(page.locator("#deployment")).to_have_text(
        "Data set default · run r · trained on 90 users and 120 items"
    )
    quality = page.locator("#quality")
    for text in (
        "The model is good enough.",
        "0.3071",
        "EASE",
        "0.3012",
        "users left out of training",
        "0.2361",
    ):
        expect(quality).to_contain_text(text)
    instances = page.locator("#instances")
    for text in (
        "0.0115 USD",
        "83.95 USD a month",
        "1 × ml.m5.large",
        "refused: ml.m5.xlarge: the quota is 0",
    ):
        expect(instances).to_contain_text(text)


def test_what_the_model_does_not_know_is_said(page: Page, console: list[str]) -> None:
    page.get_by_label("Find an item by its name").fill("unheard-of")
    page.get_by_role("button", name="Like", exact=True).first.click()
    expect(page.get_by_role("alert")).to_contain_text("item 'unheard-of' is not in model m1")
    expect(page.locator("#liked > li")).to_have_count(0)
    assert len(console) == 1
    assert "404" in console.pop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_on_a_screen_and_a_phone(
    browser: Browser, explored: Explored, axe: str, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        viewport={"width": 1300, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(explored.url)
    page.locator("#items .like").first.click()
    page.locator("#items summary").first.click()
    page.locator("#filters summary").click()
    page.get_by_label("Value").fill("Comedy")
    page.get_by_role("button", name="Add filter").click()
    expect(page.locator("#filter-list > li")).to_have_count(1)
    assert violations(page, axe, scheme) == []
    page.locator("#items").get_by_role("button", name="Similar to").first.click()
    expect(page.locator("#audience button").first).to_be_visible()
    assert violations(page, axe, scheme) == []
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 375, "height": 800})
    assert violations(page, axe, scheme) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    context.close()


def violations(page: Page, axe: str, scheme: str) -> list[str]:
    """What axe finds; in the dark, where colors are all that differs, of colors."""
    expect(page.locator("[aria-busy]")).to_have_count(0)  # a list that is asked for again is paler
    page.evaluate(axe)
    found = page.evaluate("axe.run()" if scheme == "light" else "axe.run({runOnly: ['color-contrast']})")[
        "violations"
    ]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]
    ]


def test_without_the_token_the_page_says_where_to_find_it(browser: Browser, explored: Explored) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(explored.url.partition("#")[0])
    expect(page.get_by_role("alert")).to_contain_text("open the address that `fmrec explore` has printed")
    page.goto("about:blank")
    page.goto(explored.url)
    expect(page.locator("#items > li")).to_have_count(10)
    assert "#" not in page.url
    page.reload()
    expect(page.locator("#items > li")).to_have_count(10)
    context.close()
