"""How many photos a promise is likely to need."""

from __future__ import annotations

import pytest

from thresholds.plan.sample_size import photos_for_promise


def test_a_smaller_loss_takes_more_photos() -> None:
    """The less may be lost, and the surer it has to be, the more photos a promise takes."""
    counts = [photos_for_promise(drop) for drop in (0.1, 0.05, 0.02, 0.01)]
    assert counts == sorted(counts)
    assert photos_for_promise(0.02, delta=0.01) > photos_for_promise(0.02, delta=0.1)


def test_photos_are_counted_with_those_that_cascades_are_made_from() -> None:
    """Only the held-out share proves anything, so half of it takes twice the photos."""
    whole, half = (photos_for_promise(0.05, held_out=share) for share in (0.4, 0.2))
    assert half == pytest.approx(2 * whole, abs=1)


def test_no_number_of_photos_shows_that_nothing_is_lost() -> None:
    """A loss of exactly nothing can never be shown."""
    assert photos_for_promise(0.0) is None
