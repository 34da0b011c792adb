"""The price of a photo is known before it is asked about."""

from __future__ import annotations

import pytest

from gateway.core.model import Route
from gateway.core.route_price import photo_price
from providers.detection import Task
from thresholds.cascade import Cascade, Stage

USD = {"aws": 0.001, "dear": 0.01, "mine": 0.5}
SURE = {"kind": "imgrid", "area": {"mean": 0.2}}


def route(*stages: Stage, companion: str = "", images: float | None = None) -> Route:
    cascade = Cascade(stages=list(stages), images=images)
    return Route("objects", Task.OBJECTS, "aws", cascade, companion=companion)


UNSURE = Stage(shape="2x2", rule=SURE)
ALONE = Stage(shape="1x1")


@pytest.mark.parametrize(
    ("priced", "least", "most"),
    [
        (route(ALONE), 0.001, 0.001),
        (route(Stage(shape="3x3")), 0.001 / 9, 0.001 / 9),
        (route(UNSURE, ALONE), 0.00025, 0.00125),
        (route(UNSURE, Stage(shape="1x1", provider="dear")), 0.00025, 0.01025),
        (
            route(Stage(shape="1x1", provider="mine", rule=SURE), ALONE, companion="mine"),
            0.0,
            0.001,
        ),
    ],
    ids=["alone", "one grid", "two stages", "two providers", "a companion is free"],
)
def test_a_photo_costs_between_its_first_stage_and_all(
    priced: Route, least: float, most: float
) -> None:
    """At least what the first stage costs that may be the last, at most all of them, in full
    canvases; alone an image of the route's provider."""
    price = photo_price(priced, "target", USD.__getitem__)
    assert (price.least_usd, price.most_usd) == (pytest.approx(least), pytest.approx(most))
    assert price.alone_usd == 0.001
    assert price.usd is None


def test_a_plan_says_what_a_photo_costs() -> None:
    """By the images that the cascade's plan foresees."""
    price = photo_price(route(UNSURE, ALONE, images=0.4), "target", USD.__getitem__)
    assert price.usd == pytest.approx(0.0004)


def test_an_exact_photo_costs_an_image() -> None:
    """The price is that of the variant that the photo goes by."""
    price = photo_price(route(UNSURE, ALONE), "exact", USD.__getitem__)
    assert (price.least_usd, price.most_usd) == (0.001, 0.001)
