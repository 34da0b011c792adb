"""Settings that all providers share."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from providers.base import About
from providers.call_limits import BreakerOptions, CallLimits
from providers.detection import Task
from providers.prices import Price, PriceList


class Canvas(NamedTuple):
    """Sides of the largest picture worth sending, in pixels."""

    width_px: int
    height_px: int


def parse_size(value: object) -> Canvas:
    """The `Canvas` written as `"640x480"` (width x height) or as a pair. Raises ValueError with the
    form expected."""
    parts = value.lower().split("x") if isinstance(value, str) else value
    try:
        # A value of another type raises TypeError.
        width, height = (int(part) for part in parts)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ValueError(
            f"{value!r} is no size; write width x height in pixels, such as 1280x1280"
        ) from None
    return Canvas(width, height)


def _check_sides(canvas: Canvas) -> Canvas:
    if not (min(canvas) >= 80 and max(canvas) <= 8192):
        raise ValueError("each side must be between 80 and 8192 pixels")
    return canvas


CanvasSize = Annotated[
    Canvas,
    BeforeValidator(parse_size),
    AfterValidator(_check_sides),
    PlainSerializer(lambda canvas: f"{canvas[0]}x{canvas[1]}"),
]


class Options(BaseModel):
    """The settings of every provider; each kind's `Options` adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    canvas: CanvasSize = Field(
        Canvas(1280, 1280), description="largest picture sent, width x height in pixels"
    )
    concurrency: int = Field(8, ge=1, le=256, description="pictures asked about at the same time")
    timeout_ms: int = Field(20_000, ge=10, description="how long one call may take")
    rate_per_s: float | None = Field(
        None, gt=0, description="calls a second; more of them wait for their turn"
    )
    breaker: BreakerOptions | None = BreakerOptions()
    usd_per_image: PriceList | None = Field(
        None,
        description="overrides the list price; "
        "one, or by the number of images a month from which it counts",
    )

    @property
    def calls(self) -> CallLimits:
        return CallLimits(self.rate_per_s, self.breaker, self.timeout_ms / 1000)


def about_of(name: str, options: Options, tasks: frozenset[Task], price: Price = Price()) -> About:
    """The properties of a provider that its options decide; the kind's own ones are still to be
    added. `price` holds where the options set none."""
    return About(
        name,
        options.kind,
        tasks,
        price=options.usd_per_image or price,
        canvas_px=options.canvas,
        concurrency=options.concurrency,
        calls=options.calls,
    )
