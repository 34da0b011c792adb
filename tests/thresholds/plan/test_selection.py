"""Which option a plan selects, and what it promises of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from providers.prices import Price
from tests.support.studies import study_of
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.plan.bounds import BoundKind
from thresholds.plan.candidates import Candidate, OperatingPoint, pareto_front
from thresholds.plan.cross_validation import CrossValidation, cross_validated
from thresholds.plan.search import flat_candidates, gated_candidates, seed_candidates
from thresholds.plan.selection import (
    Goal,
    Selection,
    held_out_photos,
    is_affordable,
    photos_to_certify,
    select,
)
from thresholds.plan.study import Study
from thresholds.profile.profile import Profile
from thresholds.shape import Shape
from thresholds.testing import synthetic_sample

pytestmark = pytest.mark.slow

GRID = LookKind(Shape(3, 2))
ABSENT = -2
"""The fold of photos that neither choose nor judge."""


@pytest.fixture(scope="module")
def front(study: Study, profile: Profile) -> list[OperatingPoint]:
    """The front of all options."""
    return pareto_front(
        [
            study.point(option)
            for option in (
                *flat_candidates(study),
                *gated_candidates(study),
                *seed_candidates(study, profile),
            )
        ]
    )


@pytest.fixture(scope="module")
def agreement_front(agreement_study: Study) -> list[OperatingPoint]:
    """The front of the options by agreement."""
    return pareto_front(
        [
            agreement_study.point(option)
            for option in (*flat_candidates(agreement_study), *gated_candidates(agreement_study))
        ]
    )


def selected(study: Study, front: Sequence[OperatingPoint], **goal: Any) -> Selection | None:
    """The selection for this goal, by the photos that did not choose."""
    return select(study, front, Goal(**goal), validation_of(study, front))


def validation_of(study: Study, front: Sequence[OperatingPoint]) -> CrossValidation:
    """The cross-validation of the front's options, kept with the study."""
    return cross_validated(study, [point.candidate for point in front])


def with_price(study: Study, usd: float) -> Study:
    """The study at this price per image."""
    return Study(
        study.training, replace(study.costs, prices={"": Price(usd)}), study.paths, study.gates
    )


# -- by the estimate


@pytest.mark.parametrize("most", [0.0, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("validated", [True, False])
def test_without_a_promise_the_cheapest_within_limits_is_selected(
    study: Study, front: list[OperatingPoint], most: float, validated: bool
) -> None:
    """With a delta of 1, or no cross-validation, the cheapest option within the limit is selected
    and nothing is promised."""
    goal = Goal(max_drop=most, delta=1.0 if validated else 0.1)
    selection = select(study, front, goal, validation_of(study, front) if validated else None)
    assert selection.result is None
    assert selection.point.change >= -most
    assert all(point.change < -most for point in front if point.images < selection.point.images)


def test_photos_go_alone_if_every_option_loses_too_much(
    study: Study, front: list[OperatingPoint]
) -> None:
    """If every option loses too much, each photo is asked about alone."""
    lossy_front = [point._replace(change=-0.5) for point in front]
    assert selected(study, lossy_front, max_drop=0.1, delta=1.0).point.candidate is study.alone


# -- by what it costs


@pytest.mark.parametrize("save", [0.1, 0.4, 0.6, 0.8])
def test_the_best_option_that_saves_enough_is_selected(
    study: Study, front: list[OperatingPoint], save: float
) -> None:
    """The best option that saves enough is selected, and photos that did not choose give its
    loss."""
    selection = selected(study, front, save=save)
    assert selection.point.images <= 1 - save + 1e-9
    assert selection.point.value == max(
        point.value for point in front if point.images <= 1 - save + 1e-9
    )
    assert selection.result.photos == 160
    assert selection.result.bound > selection.result.drop


def test_no_option_saves_more_than_possible(study: Study, front: list[OperatingPoint]) -> None:
    """If no option saves enough, none is selected."""
    assert selected(study, front, save=0.9) is None


@pytest.mark.parametrize("budget", [250, 500, 900])
def test_the_best_option_within_the_budget_is_selected(
    study: Study, front: list[OperatingPoint], budget: int
) -> None:
    """The best option within the budget for these photos a month is selected, and none for a budget
    under every cost."""
    paid = with_price(study, 0.001)
    selection = selected(paid, front, budget_usd=budget, photos_per_month=1e6)
    assert paid.costs.usd_per_month(1e6 * selection.point.images) <= budget
    assert selection.point.value == max(
        point.value for point in front if 1000 * point.images <= budget
    )
    assert selected(paid, front, budget_usd=100, photos_per_month=1e6) is None
    half = selected(paid, front, budget_usd=budget / 2, photos_per_month=5e5)
    assert half.point is selection.point


def test_an_exact_saving_or_cost_is_affordable(study: Study, front: list[OperatingPoint]) -> None:
    """An option that saves or costs exactly the limit is affordable."""
    cheapest = front[0]
    assert is_affordable(study, cheapest, Goal(save=1 - cheapest.images))
    assert not is_affordable(study, cheapest, Goal(save=1.01 - cheapest.images))
    assert is_affordable(
        with_price(study, 1.0), cheapest, Goal(budget_usd=cheapest.images, photos_per_month=1)
    )


def test_a_delta_of_1_gives_no_held_out_result(study: Study, front: list[OperatingPoint]) -> None:
    """With a delta of 1 there is no result on held-out photos."""
    assert selected(study, front, save=0.4, delta=1.0).result is None


# -- by a promise


@pytest.mark.parametrize(("bound", "photos"), [("bootstrap", 120), ("exact", 50)])
def test_the_selected_option_is_certified_on_photos_that_did_not_choose_it(
    agreement_study: Study, agreement_front: list[OperatingPoint], bound: str, photos: int
) -> None:
    """Plans of that price lose less on photos that did not choose them than the bound, and the
    bound is within the limit. The exact bound is from held-out photos only."""
    selection = selected(agreement_study, agreement_front, max_drop=0.2, delta=0.1, bound=bound)
    assert selection.point.images < 1
    assert selection.result.photos == photos
    assert selection.result.drop < selection.result.bound <= 0.2


def test_laxer_goals_select_cheaper_options(
    agreement_study: Study, agreement_front: list[OperatingPoint]
) -> None:
    """A larger loss limit or delta selects an option that is no dearer."""
    by_drop = [
        selected(agreement_study, agreement_front, max_drop=most).point.images
        for most in (0.02, 0.1, 0.2, 0.4, 0.9)
    ]
    assert by_drop == sorted(by_drop, reverse=True)
    assert by_drop[0] > by_drop[-1]
    by_delta = [
        selected(agreement_study, agreement_front, max_drop=0.2, delta=delta).point.images
        for delta in (0.01, 0.1, 0.5)
    ]
    assert by_delta == sorted(by_delta, reverse=True)


def test_a_sample_too_small_for_a_promise_is_asked_about_alone(
    agreement_study: Study, agreement_front: list[OperatingPoint]
) -> None:
    """If the sample is too small for any promise, photos are asked about alone, which loses
    nothing."""
    selection = selected(agreement_study, agreement_front, max_drop=0.02, delta=0.01)
    assert selection.point.candidate is agreement_study.alone
    assert selection.result[1:] == (0.0, 0.0, 1.0)


def test_a_smaller_drop_needs_more_photos(
    agreement_study: Study, agreement_front: list[OperatingPoint]
) -> None:
    """The number of photos that would certify a point is larger for a smaller drop, and more than a
    sample has that is too small."""
    point, validation = agreement_front[-1], validation_of(agreement_study, agreement_front)
    needed = [
        photos_to_certify(agreement_study, point, Goal(max_drop=drop, delta=0.01), validation)
        for drop in (0.02, 0.04)
    ]
    assert needed[0] > max(needed[1], len(agreement_study.sample))


def test_no_number_of_photos_certifies_a_losing_option(
    agreement_study: Study, agreement_front: list[OperatingPoint]
) -> None:
    """If the photos' own mean loses more than the limit, no number of photos would do."""
    coarse = [point for point in agreement_front if point.images < 0.3]
    goal, validation = Goal(max_drop=0.0), validation_of(agreement_study, coarse)
    assert photos_to_certify(agreement_study, coarse[0], goal, validation) is None


@pytest.fixture(scope="module")
def large_study() -> tuple[Study, list[OperatingPoint]]:
    """A study whose 500 held-out photos stand for all photos, and its front."""
    study = study_of(synthetic_sample(600, kinds=(ITSELF, GRID), groupings=1), held_out=500)
    return study, pareto_front(
        [study.point(option) for option in (*flat_candidates(study), *gated_candidates(study))]
    )


@pytest.mark.parametrize("bound", ["bootstrap", "exact"])
@pytest.mark.parametrize("most", [0.1, 0.12, 0.2])
def test_promises_hold_on_all_photos(
    large_study: tuple[Study, list[OperatingPoint]], most: float, bound: BoundKind
) -> None:
    """Selected again and again from a few random photos, the option loses more than the limit over
    all photos in a share of at most delta, and is not always 1x1."""
    study, front = large_study
    rng, everyone = np.random.default_rng(1), held_out_photos(study)
    losses = {
        id(point.candidate): loss_of(study, point.candidate)
        for point in (*front, study.point(study.alone))
    }
    validation, points = validation_of(study, front), list[OperatingPoint]()
    for _ in range(150):
        photo_folds = study.training.folds.copy()
        photo_folds[rng.choice(everyone, len(everyone) - 80, replace=False)] = ABSENT
        few = replace(validation, folds=photo_folds)
        points.append(select(study, front, Goal(max_drop=most, delta=0.1, bound=bound), few).point)
    assert np.mean([losses[id(point.candidate)] > most for point in points]) <= 0.1 + 2.5 * np.sqrt(
        0.09 / 150
    )
    assert np.mean([point.images for point in points]) < 1


def loss_of(study: Study, candidate: Candidate) -> float:
    """The candidate's loss over all photos held out."""
    return (study.parts(study.alone) - study.parts(candidate))[held_out_photos(study)].mean()


def test_an_option_as_dear_as_alone_is_not_selected(
    study: Study, front: list[OperatingPoint]
) -> None:
    """An option that costs as much as asking alone is not selected, as asking alone loses
    nothing."""
    dear_front = [point._replace(images=1.0) for point in front]
    assert selected(study, dear_front, max_drop=0.9).point.candidate is study.alone


def test_no_model_sees_held_out_photos(study: Study) -> None:
    """No model is trained on the photos that are held out."""
    assert held_out_photos(study).tolist() == list(range(60))
    assert not set(held_out_photos(study)) & set(study.training.photos)


def test_prices_do_not_change_losses(study: Study, front: list[OperatingPoint]) -> None:
    """Prices change what options cost, never what they lose."""
    cheap, dear = (
        selected(study, front, max_drop=0.3),
        selected(with_price(study, 0.002), front, max_drop=0.3),
    )
    assert (cheap.point, cheap.result) == (dear.point, dear.result)
