"""A real browser for pages: Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 180_000
"""A machine that is busy may take so long to open a page."""


class Window(NamedTuple):
    """A window's width in pixels, and the colour scheme that its user prefers."""

    width_px: int
    scheme: str


WINDOWS = [Window(width, scheme) for width in (1280, 400) for scheme in ("light", "dark")]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine; without one the test is skipped."""
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine: make browser installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, window: Window) -> Iterator[Page]:
    """The page in a file, in such a window, with all that is folded opened."""
    page = browser.new_page(
        viewport={"width": window.width_px, "height": 900}, color_scheme=window.scheme
    )
    page.set_default_timeout(PATIENCE_MS)
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    yield page
    page.close()
