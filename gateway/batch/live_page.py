"""The page of a run, and what it shows: one snapshot after the other."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from gateway.batch.aggregate import Estimate
from gateway.quality.report.document import DocumentParts, document, resource

LEAD = "Estimates are of all photos of the run, and their intervals hold whenever you look."


class RunSnapshot(Struct, frozen=True):
    """A run at one moment. `counted` photos are those that the estimates are from; `billed` is in
    images, `usd` its price where that is known, and `saved` the share of the answered photos'
    images that was not paid for. `level` is the probability that an interval holds the true value,
    `until` the target that ends the run, and `message` one more sentence."""

    photos: int
    state: Literal["running", "done", "stopped", "failed"] = "running"
    answered: int = 0
    failed: int = 0
    counted: int = 0
    billed: float = 0.0
    usd: float | None = None
    saved: float | None = None
    estimates: tuple[Estimate, ...] = ()
    level: float = 0.95
    until: str = ""
    message: str = ""


def live_page(title: str) -> str:
    """The page as HTML; it reads the run's snapshots from `events` beside it."""
    body, style = resource("gateway.batch", "live.html"), resource("gateway.batch", "live.css")
    scripts = f"<script>\n{resource('gateway.batch', 'live.js')}</script>\n"
    return document(title, LEAD, DocumentParts(body, style, scripts, is_live=True))
