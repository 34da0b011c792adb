"""The rows of a run: one a photo, with its answer or its error, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import to_builtins

from gateway.core.errors import GatewayError
from gateway.core.model import Outcome
from gateway.dialects.native.render import photo_out
from gateway.dialects.native.schemas import Options
from providers.detection import Box, Detection, Task

Row = Mapping[str, Any]
"""A photo's row, as JSON has it."""
KEPT_DETECTIONS = 1000
MOST_REASONS = 20


def row_of(
    position: int, key: str, outcome: Outcome, task: Task, prices: Mapping[str, float]
) -> dict[str, Any]:
    """The row of an answered photo; `prices` are USD an image by provider, `""` that of the route's
    own."""
    size = outcome.photo.size if outcome.photo else None
    options = Options(task=str(task), min_score=0.0, max_results=KEPT_DETECTIONS)
    answer = to_builtins(photo_out(key, outcome, size, options))
    usd = sum(step.share * prices[step.provider] for step in outcome.steps if not step.free)
    return {
        "position": position,
        "key": key,
        "width": answer.get("width", 0),
        "height": answer.get("height", 0),
        "detections": answer.get("detections", []),
        "error": answer.get("error"),
        "images": outcome.share,
        "usd": usd,
        "alone_usd": prices[""] if outcome.error is None else 0.0,
        "providers": [step.provider for step in outcome.steps],
        "cached": outcome.is_cached,
    }


def failed_row(position: int, key: str, error: GatewayError) -> dict[str, Any]:
    """The row of a photo that was not answered, and was not billed."""
    return {
        "position": position,
        "key": key,
        "width": 0,
        "height": 0,
        "detections": [],
        "error": {"code": error.code, "message": str(error)},
        "images": 0.0,
        "usd": 0.0,
        "alone_usd": 0.0,
        "providers": [],
        "cached": False,
    }


def detections_of(row: Row) -> list[Detection]:
    """The detections of a row, as rules and measures know them."""
    detections = []
    for each in row["detections"]:
        box = each["box"]
        corners = Box(box["x0"], box["y0"], box["x1"], box["y1"])
        detections.append(Detection(each["label"], each["score"], corners, each.get("kind", "")))
    return detections


@dataclass
class RunTotals:
    """The sums over rows: photos answered and failed, images and USD billed, and what the answered
    ones would have cost alone. `reasons` count errors by their code; `failures` are the keys and
    messages of the first."""

    answered: int = 0
    failed: int = 0
    images: float = 0.0
    usd: float = 0.0
    alone_usd: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def photos(self) -> int:
        return self.answered + self.failed

    @property
    def saved(self) -> float:
        """The share of the price alone that was not paid; where nothing costs anything, that of
        images."""
        if self.alone_usd:
            return 1 - self.usd / self.alone_usd
        return 1 - self.images / self.answered if self.answered else 0.0

    def add(self, row: Row) -> None:
        self.images += row["images"]
        self.usd += row["usd"]
        self.alone_usd += row["alone_usd"]
        if row["error"] is None:
            self.answered += 1
            return
        self.failed += 1
        self.reasons[row["error"]["code"]] += 1
        if len(self.failures) < MOST_REASONS:
            self.failures.append((row["key"], row["error"]["message"]))

    def add_all(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.add(row)

    def as_json(self) -> dict[str, Any]:
        """The totals for the summary's file."""
        return {
            "photos": self.photos,
            "answered": self.answered,
            "failed": self.failed,
            "images": round(self.images, 6),
            "usd": round(self.usd, 6),
            "alone_usd": round(self.alone_usd, 6),
            "saved": round(self.saved, 4),
            "errors": dict(self.reasons),
            "failures": [{"key": key, "message": message} for key, message in self.failures],
        }
