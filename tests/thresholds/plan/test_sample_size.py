"""How many photos a promise is likely to need."""

from __future__ import annotations

from thresholds.plan.sample_size import photos_for_promise


def test_a_smaller_loss_takes_more_photos() -> None:
    """The less may be lost, and the surer it has to be, the more photos a promise takes."""
    counts = [photos_for_promise(drop) for drop in (0.1, 0.05, 0.02, 0.01)]
    assert counts == sorted(counts)
    assert photos_for_promise(0.02, delta=0.01) > photos_for_promise(0.02, delta=0.1)
