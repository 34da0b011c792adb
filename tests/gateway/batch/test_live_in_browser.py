"""The live page in a real browser, in wide and narrow windows, light and dark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.batch.aggregate import Estimate
from gateway.batch.live import LivePage
from gateway.batch.live_page import RunSnapshot
from tests.support.browser import (
    CLIPPED,
    FAINT,
    OVERFLOWS,
    PATIENCE_MS,
    WINDOWS,
    Window,
    chromium,
    opened,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHOTOS = 1000
LONG = "share(a label without any place to break it " + "x" * 60 + ")"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as each:
        yield each


@pytest.fixture
def live() -> Iterator[LivePage]:
    with LivePage("1,000 photos of a street") as each:
        yield each


def snapshot(counted: int, state: str = "running") -> RunSnapshot:
    """A run after so many photos, with intervals that narrow."""
    margin = 0.5 / counted**0.5
    is_done = state != "running"
    estimates = (
        Estimate("share(person)", 0.3, max(0.3 - margin, 0), 0.3 + margin, is_met=is_done),
        Estimate("count(car)", 2345.6, 2345.6 - 900 * margin, 2345.6 + 900 * margin),
        Estimate(LONG, 0.01234),
    )
    return RunSnapshot(
        PHOTOS,
        state=state,
        answered=counted,
        failed=2,
        counted=counted,
        billed=counted / 4,
        usd=counted / 4000,
        saved=0.75,
        estimates=estimates,
        until="share(person) +- 0.02",
    )


@pytest.fixture(params=WINDOWS, ids=lambda window: f"{window.width_px}-{window.scheme}")
def page(request: pytest.FixtureRequest, browser: Browser, live: LivePage) -> Iterator[Page]:
    """The page after half of a run, in one of the windows."""
    window: Window = request.param
    for counted in range(10, PHOTOS // 2 + 1, 10):
        live.show(snapshot(counted))
    with opened(browser, live.url, window) as each:
        expect(each.locator("#answered")).to_have_text("500 of 1,000", timeout=PATIENCE_MS)
        yield each


def test_the_page_fits_its_window(page: Page) -> None:
    """The page does not scroll sideways, nothing is clipped, and every text can be read."""
    assert page.evaluate(OVERFLOWS) <= 0
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(FAINT) == []


def test_the_page_shows_the_run_as_it_goes_on(browser: Browser, live: LivePage) -> None:
    """The page shows progress, bill and estimates at once when they come, and the end."""
    live.show(snapshot(10))
    with opened(browser, live.url, WINDOWS[0]) as page:
        person = page.locator(".estimate").first
        expect(person.locator("h2")).to_have_text("share(person)", timeout=PATIENCE_MS)
        expect(page.locator("#billed")).to_have_text("2.5 ($0.00)")
        expect(page.locator("#saved")).to_have_text("75.0 %")
        expect(page.locator("#failed")).to_have_text("2")
        first = height_of_interval(person)
        for counted in range(20, 410, 10):
            live.show(snapshot(counted))
        expect(person.locator(".interval")).to_have_text("0.275 to 0.325 (95 %)")
        expect(person.locator(".met")).to_have_text("until share(person) +- 0.02")
        assert height_of_interval(person) < first / 2
        live.show(snapshot(800, "stopped"))
        expect(page.locator("#billed")).to_have_text("200 ($0.20)")
        expect(page.locator("#state")).to_have_text("Stopped early.")
        expect(person.locator(".met")).to_have_text("as exact as was asked")


def height_of_interval(card: Locator) -> float:
    """The height of the interval's band at its right end, in units of the drawing."""
    points = card.locator("polygon").get_attribute("points") or ""
    pairs = [tuple(map(float, point.split(","))) for point in points.split()]
    right = max(x for x, _ in pairs)
    heights = [y for x, y in pairs if x == right]
    return max(heights) - min(heights)


def test_an_order_without_intervals_says_so(page: Page) -> None:
    """An estimate without an interval says why it has none."""
    text = page.locator(".estimate").last.locator(".interval")
    expect(text).to_have_text("no interval: photos come in no random order")


def test_the_page_stays_as_it_was_at_the_end(browser: Browser) -> None:
    """When the run is over the page keeps its last state, asks nobody for more, and reports nothing
    that its policy refused."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    messages = list[str]()
    page.on("console", lambda message: messages.append(message.text))
    with LivePage("A short run") as live:
        live.show(snapshot(10))
        page.goto(live.url)
        expect(page.locator("#state")).to_have_text("Running.", timeout=PATIENCE_MS)
        live.show(snapshot(PHOTOS, "done"))
    expect(page.locator("#state")).to_have_text("Done.", timeout=PATIENCE_MS)
    expect(page.locator("#answered")).to_have_text("1,000 of 1,000")
    assert messages == []
    assert page.evaluate("source.readyState") == 2  # EventSource.CLOSED
    page.close()
