"""Which option is taken, and what is promised of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from providers.prices import Price
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.plan.candidates import OperatingPoint, pareto_front
from thresholds.plan.search import flat_candidates, gated_candidates, seed_candidates
from thresholds.plan.selection import Goal, held_out_photos, is_affordable, select
from thresholds.plan.study import Study
from thresholds.profile.profile import Profile
from thresholds.shape import Shape
from thresholds.testing import synthetic_sample

GRID = LookKind(Shape(3, 2))
NOBODY = np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def best(study: Study, measured: Profile) -> list[OperatingPoint]:
    """The front of all options."""
    return pareto_front(
        [
            study.point(option)
            for option in (
                *flat_candidates(study),
                *gated_candidates(study),
                *seed_candidates(study, measured),
            )
        ]
    )


@pytest.fixture(scope="module")
def agreed_best(agreed: Study) -> list[OperatingPoint]:
    return pareto_front(
        [agreed.point(option) for option in (*flat_candidates(agreed), *gated_candidates(agreed))]
    )


def taken(study, best, **goal):
    return select(study, best, Goal(**goal), held_out_photos(study))


def priced(study, usd):
    return Study(
        study.training, replace(study.costs, prices={"": Price(usd)}), study.paths, study.gates
    )


# -- by the estimate


@pytest.mark.parametrize("most", [0.0, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("held", [True, False])
def test_by_the_estimate(study: Study, best: list[OperatingPoint], most: float, held: bool) -> None:
    """With a delta of 1, or no photo held out, it is the cheapest option that loses no more, and
    nothing is promised."""
    goal = Goal(max_drop=most, delta=1.0 if held else 0.1)
    picked = select(study, best, goal, held_out_photos(study) if held else NOBODY)
    assert picked.held_out is None
    assert picked.point.change >= -most
    assert all(point.change < -most for point in best if point.images < picked.point.images)


def test_alone_if_nothing_else(study: Study, best: list[OperatingPoint]) -> None:
    """Where every option loses more, photos are asked about alone."""
    worse = [point._replace(change=-0.5) for point in best]
    assert taken(study, worse, max_drop=0.1, delta=1.0).point.candidate is study.alone


# -- by what it costs


@pytest.mark.parametrize("save", [0.1, 0.4, 0.6, 0.8])
def test_save(study: Study, best: list[OperatingPoint], save: float) -> None:
    """It is the best option that saves so much, and the held-out photos say how much that loses."""
    picked = taken(study, best, save=save)
    assert picked.point.images <= 1 - save + 1e-9
    assert picked.point.value == max(
        point.value for point in best if point.images <= 1 - save + 1e-9
    )
    assert picked.held_out.photos == 60
    assert picked.held_out.bound > picked.held_out.drop


def test_save_more_than_can_be(study: Study, best: list[OperatingPoint]) -> None:
    """Where no option saves so much there is none."""
    assert taken(study, best, save=0.9) is None


@pytest.mark.parametrize("budget", [250, 500, 900])
def test_budget(study: Study, best: list[OperatingPoint], budget: int) -> None:
    """It is the best option that costs no more for so many photos a month; less than any costs, and
    there is none."""
    paid = priced(study, 0.001)
    picked = taken(paid, best, budget_usd=budget, photos_per_month=1e6)
    assert paid.costs.usd_per_month(1e6 * picked.point.images) <= budget
    assert picked.point.value == max(p.value for p in best if 1000 * p.images <= budget)
    assert taken(paid, best, budget_usd=100, photos_per_month=1e6) is None
    half = taken(paid, best, budget_usd=budget / 2, photos_per_month=5e5)
    assert half.point is picked.point


def test_affordable(study: Study, best: list[OperatingPoint]) -> None:
    """What saves just so much, or costs just so much, still does."""
    cheapest = best[0]
    assert is_affordable(study, cheapest, Goal(save=1 - cheapest.images))
    assert not is_affordable(study, cheapest, Goal(save=1.01 - cheapest.images))
    assert is_affordable(
        priced(study, 1.0), cheapest, Goal(budget_usd=cheapest.images, photos_per_month=1)
    )


def test_a_bound_for_what_was_bought(study: Study, best: list[OperatingPoint]) -> None:
    """With a delta of 1 nothing is said of it."""
    assert taken(study, best, save=0.4, delta=1.0).held_out is None


# -- by a promise


def test_promised(agreed: Study, agreed_best: list[OperatingPoint]) -> None:
    """What is taken was found to lose less on photos held out, and its bound is under what may be
    lost."""
    picked = taken(agreed, agreed_best, max_drop=0.2, delta=0.1)
    assert picked.point.images < 1
    assert picked.held_out.photos == 50
    assert picked.held_out.drop < picked.held_out.bound <= 0.2


def test_less_is_promised_of_more(agreed: Study, agreed_best: list[OperatingPoint]) -> None:
    """The more may be lost, and the oftener a promise may be wrong, the cheaper is what is
    taken."""
    by_drop = [
        taken(agreed, agreed_best, max_drop=most).point.images
        for most in (0.02, 0.1, 0.2, 0.4, 0.9)
    ]
    assert by_drop == sorted(by_drop, reverse=True)
    assert by_drop[0] > by_drop[-1]
    by_delta = [
        taken(agreed, agreed_best, max_drop=0.2, delta=delta).point.images
        for delta in (0.01, 0.1, 0.5)
    ]
    assert by_delta == sorted(by_delta, reverse=True)


def test_too_small_a_sample(agreed: Study, agreed_best: list[OperatingPoint]) -> None:
    """Where so few photos can promise nothing, photos are asked about alone, and it says how many
    more would do."""
    picked = taken(agreed, agreed_best, max_drop=0.01, delta=0.01)
    assert picked.point.candidate is agreed.alone
    assert picked.held_out[1:] == (0.0, 0.0, 1.0)
    assert picked.photos_needed > len(agreed.sample)
    assert (
        taken(agreed, agreed_best, max_drop=0.02, delta=0.01).photos_needed < picked.photos_needed
    )


def test_what_can_never_be_promised(agreed: Study, agreed_best: list[OperatingPoint]) -> None:
    """Where the photos' own mean loses more than may be lost, no number of photos would do."""
    coarse = [point for point in agreed_best if point.images < 0.3]
    picked = taken(agreed, coarse, max_drop=0.0, delta=0.1)
    assert picked.point.candidate is agreed.alone
    assert picked.photos_needed == 0


@pytest.fixture(scope="module")
def many(studied: Callable[..., Any]) -> tuple[Study | list[OperatingPoint], ...]:
    """A study whose 500 photos held out stand for all photos there are."""
    one = studied(synthetic_sample(600, kinds=(ITSELF, GRID), groupings=1), "ap50", held=500)
    return one, pareto_front(
        [one.point(option) for option in (*flat_candidates(one), *gated_candidates(one))]
    )


@pytest.mark.parametrize("most", [0.1, 0.12, 0.2])
def test_promises_are_kept(many: tuple[Study | list[OperatingPoint], ...], most: float) -> None:
    """Promised from a few photos by chance, again and again, what is taken loses more than it may,
    over all photos, in a share of at most delta; and it is not always 1x1 that is taken."""
    one, best = many
    rng, everyone = np.random.default_rng(1), held_out_photos(one)
    loses = {
        id(point.candidate): lost(one, point.candidate) for point in (*best, one.point(one.alone))
    }
    picked = [
        select(one, best, Goal(max_drop=most, delta=0.1), rng.choice(everyone, 80)).point
        for _ in range(150)
    ]
    assert np.mean([loses[id(point.candidate)] > most for point in picked]) <= 0.1 + 2.5 * np.sqrt(
        0.09 / 150
    )
    assert np.mean([point.images for point in picked]) < 1


def lost(one, option):
    """What it loses over all photos held out."""
    return (one.parts(one.alone) - one.parts(option))[held_out_photos(one)].mean()


def test_never_dearer_than_alone(study: Study, best: list[OperatingPoint]) -> None:
    """An option that costs as much as asking alone is not taken: that loses nothing."""
    dear = [point._replace(images=1.0) for point in best]
    assert taken(study, dear, max_drop=0.9).point.candidate is study.alone


def test_held_out(study: Study) -> None:
    """Photos are held out that no model may see."""
    assert held_out_photos(study).tolist() == list(range(60))
    assert not set(held_out_photos(study)) & set(study.training.photos)


def test_prices_do_not_change_losses(study: Study, best: list[OperatingPoint]) -> None:
    """Prices say what options cost, never what they lose."""
    one, other = taken(study, best, max_drop=0.3), taken(priced(study, 0.002), best, max_drop=0.3)
    assert (one.point, one.held_out) == (other.point, other.held_out)
