"""Pages in a real browser, in wide and narrow windows, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from gateway.quality.next_step import PlanFiles, shortfall
from gateway.quality.report import page as report
from gateway.quality.report.contact_sheet import ContactSheet, SheetLegend, SheetPhoto
from gateway.quality.report.page import PageCommand, PageSection, PageTable
from gateway.quality.report.plan import show
from gateway.testing.pictures import Block, drawn, encoded
from providers.detection import Box, Detection
from tests.support.browser import (
    CLIPPED,
    FAINT,
    OVERFLOWS,
    WINDOWS,
    Window,
    chromium,
    opened,
)
from tests.support.plans import plan_of
from thresholds.plan.selection import Goal

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "a-name-without-any-place-to-break-it-" * 4
NAMES = {"plan": "the plan", "alone": "1x1", "truth": "ground truth"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as each:
        yield each


def parts_page(file: Path) -> Path:
    """A page with every kind of part, and long names in each."""
    dog = Detection(LONG, 0.9, Box(0.1, 0.1, 0.9, 0.9))
    jpeg = encoded(drawn((300, 200), Block("red", 20, 20, 200, 150)), "JPEG")
    boxes = {"plan": [dog], "alone": [dog], "truth": [dog]}
    photos = [SheetPhoto(key, (300, 200), boxes, f"-0.31, {LONG}.jpg") for key in "ab"]
    parts = [
        PageCommand(f"imgrid plan {LONG}"),
        PageTable(("row", "cascade", "images"), [["1", LONG, "0.5"]], 1),
        SheetLegend(NAMES),
        ContactSheet("Lost most", photos, NAMES, {"a": jpeg}),
    ]
    return report.write(file, LONG, LONG, [PageSection(LONG, LONG, parts)])


def plan_page(file: Path) -> Path:
    """The page of a plan over made-up answers, its photos gone."""
    plan = plan_of(Goal(max_drop=0.02))
    return show(plan, shortfall(plan), PlanFiles(file.parent, Path("cascade.json")), file)


@pytest.fixture(scope="module", params=[parts_page, plan_page], ids=["parts", "plan"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return request.param(tmp_path_factory.mktemp("pages") / "page.html")


@pytest.fixture(params=WINDOWS, ids=lambda window: f"{window.width_px}-{window.scheme}")
def page(request: pytest.FixtureRequest, browser: Browser, file: Path) -> Iterator[Page]:
    """The page in one of the windows."""
    window: Window = request.param
    with opened(browser, file.as_uri(), window) as each:
        yield each


def test_the_page_does_not_scroll_sideways(page: Page) -> None:
    """No window is too narrow: what is wider scrolls within its own frame."""
    assert page.evaluate(OVERFLOWS) <= 0


def test_nothing_is_clipped(page: Page) -> None:
    """No text and no picture leaves the window or its own box."""
    assert page.evaluate(CLIPPED) == []


def test_every_text_can_be_read(page: Page) -> None:
    """Every text stands out from its ground, in light and in dark."""
    assert page.evaluate(FAINT) == []


def test_the_page_loads_nothing(browser: Browser, file: Path) -> None:
    """The browser asks nobody for anything, and reports nothing that its policy refused."""
    page = browser.new_page()
    requests, messages = list[str](), list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(file.as_uri())
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []
    assert messages == []
    page.close()
