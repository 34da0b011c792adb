"""A real browser for pages: Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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


OVERFLOWS = """
() => document.documentElement.scrollWidth - document.documentElement.clientWidth
"""
"""By how many pixels a page is wider than its window."""
CLIPPED = """
() => {
  const inside = each => each.closest('.scroll, .drawing') === null
  const all = [...document.querySelectorAll('main *')].filter(inside)
  const outside = all.filter(each => {
    const box = each.getBoundingClientRect()
    return box.width > 0 && (box.left < -0.5 || box.right > innerWidth + 0.5)
  })
  const cut = all.filter(each => each.matches('p, h1, h2, h3, pre, figcaption, span')
    && each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1)
  return [...outside, ...cut].map(each => each.outerHTML.slice(0, 120))
}
"""
"""Texts and pictures that leave the window or their own box."""
FAINT = """
() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number)
  const light = text => {
    const [r, g, b] = parts(text).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = each => {
    for (let at = each; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor
      if (colour.startsWith('rgb(')) return colour
    }
    return 'rgb(255, 255, 255)'
  }
  const texts = [...document.querySelectorAll('main *')].filter(each =>
    [...each.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
  return texts.filter(each => {
    const [a, b] = [light(getComputedStyle(each).color), light(ground(each))]
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5
  }).map(each => each.outerHTML.slice(0, 120))
}
"""
"""Texts of less contrast than WCAG 2.2 asks for (1.4.3)."""

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
def opened(browser: Browser, url: str, window: Window) -> Iterator[Page]:
    """The page at a URL, in such a window, with all that is folded opened."""
    page = browser.new_page(
        viewport={"width": window.width_px, "height": 900}, color_scheme=window.scheme
    )
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    yield page
    page.close()
