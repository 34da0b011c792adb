"""What a cascade saves, with its interval, and by traffic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.studies import untrained_study
from thresholds.fusion.looks import LookKind
from thresholds.plan.candidates import Candidate
from thresholds.plan.cost import Traffic
from thresholds.plan.savings import RATES_PER_S, costs_by_rate, saving
from thresholds.plan.study import Study
from thresholds.shape import ALONE, Shape
from thresholds.testing import KINDS, synthetic_sample

GRID, FINE = LookKind(Shape(3, 2)), LookKind(ALONE)
PHOTOS = np.arange(200)


@pytest.fixture(scope="module")
def study() -> Study:
    return untrained_study(synthetic_sample(200, groupings=1))


def cascade(study: Study, share: float) -> Candidate:
    """A cascade that asks again, alone, about this share of the photos."""
    choice = study.everyone(0)
    choice[:, : round(share * len(study.sample))] = 1
    return Candidate(((GRID,), (GRID, FINE)), choice)


def test_the_saving_is_one_minus_the_mean_cost(study: Study) -> None:
    """The saving is one minus the images that a photo costs, and lies within its interval."""
    candidate = cascade(study, 0.3)
    result = saving(study, candidate, PHOTOS)
    assert result.share == pytest.approx(1 - study.images(candidate, PHOTOS))
    assert result.share == pytest.approx(1 - (1 / 6 + 0.3))
    assert result.low < result.share < result.high


def test_the_interval_covers_the_saving_of_all_photos(study: Study) -> None:
    """In nearly all of many samples of 50 photos the interval covers the saving of all of them."""
    candidate, rng = cascade(study, 0.3), np.random.default_rng(0)
    expected, covered = saving(study, candidate, PHOTOS).share, 0
    for _ in range(200):
        result = saving(study, candidate, rng.choice(PHOTOS, 50))
        covered += result.low <= expected <= result.high
    assert 180 <= covered <= 200


def test_the_interval_of_a_flat_grid_is_a_point(study: Study) -> None:
    """Every photo of a flat grid costs the same, so its saving is known."""
    result = saving(study, Candidate(((GRID,),), study.everyone(0)), PHOTOS)
    assert result.low == result.share == result.high == pytest.approx(5 / 6)


def test_one_photo_says_nothing_of_others(study: Study) -> None:
    """A single photo leaves everything open."""
    result = saving(study, cascade(study, 0.3), PHOTOS[:1])
    assert (result.low, result.high) == (-np.inf, 1.0)


def test_more_traffic_saves_more(study: Study) -> None:
    """A photo costs less the more photos come, down to its cost in full canvases."""
    candidate = cascade(study, 0.3)
    costs = costs_by_rate(study, candidate, PHOTOS)
    assert [cost.per_second for cost in costs] == list(RATES_PER_S)
    images = [cost.images for cost in costs]
    assert images == sorted(images, reverse=True)
    assert images[-1] >= study.images(candidate, PHOTOS)


def test_photos_that_come_alone_cost_no_more_than_one_image(study: Study) -> None:
    """A photo that nobody joins is seen alone already, and is not asked about again."""
    slow = Traffic(per_second=1e-6)
    assert study.images(cascade(study, 0.9), PHOTOS, slow) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("per_second", [None, 5.0, 40.0])
def test_the_costs_of_photos_average_to_the_cascades(
    study: Study, per_second: float | None
) -> None:
    """The mean of the photos' own costs is what the cascade costs, at any traffic."""
    costs = replace(study.costs, traffic=Traffic(per_second, portrait=0.25))
    busy = replace(study, costs=costs)
    candidate = cascade(study, 0.4)
    assert busy.photo_images(candidate, PHOTOS).mean() == pytest.approx(
        busy.images(candidate, PHOTOS)
    )


def test_a_sample_says_what_a_photo_has_cost() -> None:
    """A photo of a sample was asked about alone once, and at the other shapes in each grouping."""
    sample = synthetic_sample(45, groupings=3)
    expected = sum((1 if kind.shape == ALONE else 3) / kind.shape.cells for kind in KINDS)
    assert untrained_study(sample).images_per_photo == pytest.approx(expected)
