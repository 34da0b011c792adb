"""Small events for the listeners."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.core.errors import GatewayError
from gateway.core.events import CanvasAnswered, Settled
from gateway.core.model import Entry, Lane, Outcome, Photo, Size, Step
from gateway.grid.layout import lay_out
from providers.base import Picture
from providers.detection import Task
from thresholds.shape import Shape

SIZE = Size(40, 30)


def an_entry(tenant: str, lane: Lane) -> Entry:
    photo = Photo("p", b"12345", "JPEG", SIZE)
    return Entry(photo, "animals", tenant, lane, 0.0, 0.0, 1.0, 30.0)


def an_answer(
    *tenants: str, provider: str = "dear", shape: str = "2x2", broken: tuple[int, ...] = ()
) -> CanvasAnswered:
    lane = Lane(provider, Task.OBJECTS, "us", Shape.parse(shape))
    layout = lay_out([SIZE] * len(tenants), lane.shape, (80, 80))
    photos = [an_entry(tenant, lane) for tenant in tenants]
    return CanvasAnswered(
        "c",
        lane,
        layout,
        Picture(80, 60),
        photos,
        [],
        calls=1,
        composed_s=0.02,
        asked_s=0.7,
        empty_cells=frozenset(broken),
    )


def an_outcome(
    tenant: str, *providers: str, error: GatewayError | None = None, total_s: float = 0.9
) -> Settled:
    """The event of a photo that was asked of these providers in turn: at 2x2, and alone at the last
    of several."""
    shapes = [Shape(2, 2)] * (len(providers) - 1 or 1) + [Shape(1, 1)]
    steps = tuple(
        Step(stage, provider, "c", shape, 4, 1, 0.1, 0.02, 0.7, ())
        for stage, (provider, shape) in enumerate(zip(providers, shapes, strict=False))
    )
    lane = Lane("dear", Task.OBJECTS, "us", Shape(2, 2))
    return Settled(an_entry(tenant, lane), Outcome(None, steps=steps, error=error), total_s)


@pytest.fixture(scope="session")
def answered_canvas() -> Callable[..., CanvasAnswered]:
    """`answered_canvas(*tenants, provider, shape, broken)`: the event of an answered canvas with
    one photo of each tenant."""
    return an_answer


@pytest.fixture(scope="session")
def settled() -> Callable[..., Settled]:
    """`settled(tenant, *providers, error, total_s)`: the event of a photo with its answer or its
    error."""
    return an_outcome
