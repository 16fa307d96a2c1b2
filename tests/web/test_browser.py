"""The console in a real browser: what only scripts, styles and a keyboard can show."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browser import (
    browser,
    chromium,
    complaints_of,
    console_url,
    served,
    walk_to_quickstart,
)
from tests.web.fake_cloud import (
    COOKIE,
    NAMESPACE,
    PASSWORD,
    TOKEN,
    FakeCloud,
    cell,
    populated,
    totals,
)
from tests.web.histories import RUN_ID, event, execution

pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")

HOME = f"/namespaces/{NAMESPACE}"
RUNNING = f"{HOME}/workflows/order-1042/{RUN_ID}"
SHOWN_MS_MAX = 20_000
"""A machine with other work is slow, and no page is wrong for that."""

REFUSED = "status of 403"
"""Chromium tells of each answer that is a refusal."""

WIDE = "(element) => element.scrollWidth > element.clientWidth"
VIEWS = [(theme, width) for theme in ("light", "dark") for width in (1280, 390)]


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    expect.set_options(timeout=SHOWN_MS_MAX)
    with browser() as started:
        yield started
    expect.set_options(timeout=None)


@pytest.fixture
def page(opened: Browser) -> Iterator[Page]:
    context = opened.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    made = context.new_page()
    complaints = complaints_of(made, REFUSED)
    yield made
    context.close()
    assert not complaints


@pytest.fixture
def cloud() -> FakeCloud:
    return populated()


@pytest.fixture
def url(cloud: FakeCloud, page: Page) -> Iterator[str]:
    """The console of `cloud`, with its user logged in."""
    name, _, value = COOKIE.partition("=")
    with served(cloud) as address:
        page.context.add_cookies([{"name": name, "value": value, "url": address}])
        yield address
        # A page that follows something asks on, and would complain of a server that has left.
        page.close()


@pytest.fixture
def base_url(page: Page) -> Iterator[str]:
    """A cloud nobody has signed up to yet: the one that is named, or one in memory."""
    if (named := console_url()) is not None:
        yield named
        return
    with served(FakeCloud()) as address:
        yield address
        page.close()


def test_a_stranger_gets_from_the_first_page_to_a_worker_with_a_key(
    page: Page, base_url: str
) -> None:
    code = walk_to_quickstart(
        page,
        base_url,
        email=f"{uuid4().hex}@example.com",
        password=PASSWORD,
        name="orders",
    )
    assert base_url in code
    page.get_by_role("button", name="Copy the worker").click()
    expect(page.get_by_role("button", name="Copy the worker")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").strip() == code.strip()


def test_the_quickstart_keeps_its_key_while_the_page_follows_the_worker(
    page: Page, url: str, cloud: FakeCloud
) -> None:
    cloud.executions.clear()
    cloud.polled_queues.clear()
    page.goto(url + HOME)
    page.get_by_role("button", name="Create a key").press("Enter")
    expect(page.locator("#panel-python")).to_contain_text(TOKEN)
    expect(page.get_by_role("button", name="Copy the API key")).to_be_focused()
    cloud.polled_queues.append("hello")
    expect(page.get_by_text("Worker connected")).to_be_visible()
    cloud.executions.append(execution("hello-1", "COMPLETED"))
    expect(page.get_by_text("Your first workflow completed.")).to_be_visible()
    expect(page.locator("#panel-python")).to_contain_text(TOKEN)


def test_the_code_is_chosen_with_the_arrow_keys(page: Page, url: str) -> None:
    page.goto(url + HOME)
    page.locator("#quickstart > summary").click()
    page.get_by_role("tab", name="Python").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="curl")).to_be_focused()
    expect(page.locator("#panel-curl")).to_be_visible()
    expect(page.locator("#panel-python")).to_be_hidden()


def test_a_search_shows_its_results_and_its_address(page: Page, url: str, cloud: FakeCloud) -> None:
    page.goto(f"{url}{HOME}/workflows")
    page.get_by_role("searchbox").fill("order-10")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}{HOME}/workflows?query=order-10")
    assert "WorkflowId STARTS_WITH 'order-10'" in cloud.queries


def test_a_signal_is_sent_by_keyboard_alone(page: Page, url: str, cloud: FakeCloud) -> None:
    page.goto(url + RUNNING)
    page.get_by_role("button", name="Signal").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type("add-points")
    page.keyboard.press("Tab")
    page.keyboard.type('{"n": 1}')
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The signal was sent.")).to_be_visible()
    assert cloud.writes[0][2]["input"] == [{"n": 1}]


def test_terminating_asks_first(page: Page, url: str, cloud: FakeCloud) -> None:
    page.goto(url + RUNNING)
    page.get_by_role("button", name="Terminate").click()
    page.get_by_role("button", name="Keep it running").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert not cloud.writes
    page.get_by_role("button", name="Terminate").click()
    page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
    expect(page.get_by_text("The workflow was terminated.")).to_be_visible()
    assert cloud.writes[0][1].endswith("/terminate")


def test_a_namespace_is_deleted_by_keyboard_once_its_name_is_typed(
    page: Page, url: str, cloud: FakeCloud
) -> None:
    page.goto(url + HOME)
    page.get_by_role("button", name="Delete this namespace").press("Enter")
    page.keyboard.type("another.name")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("to confirm").fill(NAMESPACE)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/namespaces?notice=deleted")
    assert [verb for verb, _, _ in cloud.writes] == ["DELETE"]


def test_a_running_workflow_goes_on_while_it_is_watched(
    page: Page, url: str, cloud: FakeCloud
) -> None:
    page.goto(url + RUNNING)
    entry = page.locator("#step-5")
    entry.locator("summary").click()
    expect(entry).to_contain_text("Activity task completed")
    cloud.executions[0].CopyFrom(execution("order-1042", "COMPLETED", events=14))
    expect(page.locator(".head-title")).to_contain_text("Completed")
    expect(page.get_by_text('"greeting": "Hello, world!"').first).to_be_visible()
    expect(entry.get_by_text("Activity task completed")).to_be_visible()


@pytest.mark.parametrize("path", [HOME, f"{HOME}/workflows", RUNNING])
def test_a_page_that_follows_something_outlasts_a_refusal(
    page: Page, url: str, cloud: FakeCloud, path: str
) -> None:
    page.goto(url + path)
    shown = page.locator("#main").get_by_text("order-1042").first
    expect(shown).to_be_visible()
    for _ in range(2):
        with page.expect_response(lambda response: response.status == 403):
            cloud.denied = "the cloud is away"
    cloud.denied = ""
    expect(shown).to_be_visible()
    cloud.executions[0].CopyFrom(execution("order-1042", "TERMINATED", events=14))
    expect(page.locator("#main").get_by_text("Terminated").last).to_be_visible()


def test_a_bar_of_the_timeline_opens_its_step(page: Page, url: str) -> None:
    page.goto(url + RUNNING)
    page.locator("workflow-timeline .lane").first.press("Enter")
    expect(page.locator("#step-5")).to_have_attribute("open", "")
    expect(page.locator("#step-5 > summary")).to_be_focused()


def test_the_latest_event_of_a_long_history_is_reached_by_keyboard(
    page: Page, url: str, cloud: FakeCloud
) -> None:
    cloud.history = [event(n, "WORKFLOW_EXECUTION_SIGNALED", n) for n in range(1, 1_101)]
    page.goto(url + RUNNING)
    page.get_by_role("link", name="Latest", exact=True).press("Enter")
    expect(page.locator("#step-1100")).to_be_in_viewport()
    page.get_by_role("link", name="First", exact=True).press("Enter")
    expect(page.locator("#step-1")).to_be_in_viewport()


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_of_the_account_is_led_to_from_the_top_of_each(
    page: Page, url: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{url}/namespaces")
    page.get_by_label("Account menu").press("Enter")
    for address in (
        "/namespaces",
        "/usage",
        "/budgets",
        "/billing",
        "/members",
        "/single-sign-on",
        "/security",
        "/docs",
    ):
        links = page.get_by_role("banner").locator(f"a[href='{address}']")
        assert [each.is_visible() for each in links.all()].count(True) == 1, address


def test_a_theme_that_was_chosen_stays(page: Page, url: str) -> None:
    page.goto(f"{url}/namespaces")
    page.get_by_role("button", name="Change between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{url}/usage")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_wide_table_of_usage_scrolls_in_its_own_box_beside_its_names(
    page: Page, url: str, cloud: FakeCloud
) -> None:
    cells = [cell(f"action_number_{number}", 1_000, "0.05") for number in range(15)]
    cloud.cost |= {
        "by_namespace_and_action": cells,
        "by_namespace": totals(cells, "namespace_id", "namespace"),
        "by_action": totals(cells, "action", "action"),
    }
    page.goto(f"{url}/usage")
    name, last = page.locator(".matrix tbody th"), page.locator(".matrix thead th").last
    expect(last).not_to_be_in_viewport()
    before = name.bounding_box()
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()
    after = name.bounding_box()
    assert before
    assert after
    assert before["x"] == after["x"]
    assert page.evaluate("document.documentElement.scrollWidth === innerWidth")


@pytest.mark.parametrize(("theme", "width"), VIEWS)
def test_every_page_fits_its_window(opened: Browser, theme: str, width: int) -> None:
    context = opened.new_context(
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": 800},
    )
    name, _, value = COOKIE.partition("=")
    page = context.new_page()
    complaints = complaints_of(page)
    with served(populated()) as address:
        page.goto(f"{address}/")
        widths = {"/": page.evaluate("document.documentElement.scrollWidth")}
        scrolled = []
        context.add_cookies([{"name": name, "value": value, "url": address}])
        for path in (
            "/namespaces",
            HOME,
            f"{HOME}/keys",
            f"{HOME}/certificates",
            f"{HOME}/workflows",
            RUNNING,
            "/usage",
            "/budgets",
            "/billing",
            "/members",
        ):
            page.goto(address + path)
            widths[path] = page.evaluate("document.documentElement.scrollWidth")
            frames = page.locator(".table-frame").all()
            scrolled += [path for frame in frames if frame.evaluate(WIDE)]
        context.close()
    assert widths == dict.fromkeys(widths, width)
    assert not scrolled
    assert not complaints
