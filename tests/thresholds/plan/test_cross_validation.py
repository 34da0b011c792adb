"""Plans judged by photos that did not choose them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from thresholds.plan.cross_validation import CrossValidation
from thresholds.plan.training_data import FOLDS

PHOTOS = 40
FOLD = np.arange(PHOTOS) % FOLDS


def validation(
    losses: list[np.ndarray], images: list[float], folds: np.ndarray = FOLD
) -> CrossValidation:
    """Candidates with these losses by photo, each at one price."""
    prices = np.repeat(np.array(images)[:, None], len(folds), axis=1)
    return CrossValidation(np.stack(losses), prices, folds)


def good_on(fold: int) -> np.ndarray:
    """The losses of a candidate that gains much on the photos of one fold, and loses a little on
    all others."""
    return np.where(fold == FOLD, -1.0, 0.01)


def test_a_photo_is_judged_by_what_the_others_choose() -> None:
    """A candidate that is good on one fold only is chosen by the others' photos and judged there:
    its luck is no evidence."""
    lucky = validation([np.zeros(PHOTOS), *(good_on(fold) for fold in range(FOLDS))], [1.0] * 5)
    unseen = lucky.at(1.0)
    assert unseen.losses.mean() == pytest.approx(0.01)
    in_sample = min(row.mean() for row in lucky.losses)
    assert in_sample < -0.2


def test_only_candidates_within_the_budget_are_chosen() -> None:
    """The best candidate within the budget is chosen, or the cheapest where none is within."""
    three = validation([np.full(PHOTOS, loss) for loss in (0.0, 0.1, 0.3)], [1.0, 0.5, 0.2])
    for budget, loss, images in (
        (1.0, 0.0, 1.0),
        (0.9, 0.1, 0.5),
        (0.5, 0.1, 0.5),
        (0.1, 0.3, 0.2),
    ):
        unseen = three.at(budget)
        assert unseen.losses == pytest.approx(loss)
        assert unseen.images == pytest.approx(images)


def test_held_out_photos_judge_and_never_choose() -> None:
    """Held-out photos are judged by what all others choose, together with them or on their own."""
    folds = np.where(np.arange(PHOTOS) < 10, -1, FOLD)
    bad_when_held_out = np.where(folds < 0, 1.0, -0.1)
    both = validation([np.zeros(PHOTOS), bad_when_held_out], [1.0, 1.0], folds)
    assert both.at(1.0).losses.sum() == pytest.approx(10 - 3)
    assert both.on_held_out.at(1.0).losses == pytest.approx(np.ones(10))


def test_without_photos_to_judge_there_is_no_evidence() -> None:
    """Where no photo is held out, an exact bound has nothing to go by."""
    assert (
        len(replace(validation([np.zeros(PHOTOS)], [1.0]), judging_folds=(-1,)).at(1.0).losses) == 0
    )
