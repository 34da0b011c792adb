"""The photos of which most is lost and most is gained."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.quality.report.extremes import LEAST, PhotoLoss, most_gained, most_lost

LOSSES = np.array([[0.0, 0.5, -0.3, 0.1], [0.0, 0.1, -0.5, 0.3]])


def test_the_largest_loss_comes_first_in_its_worst_grouping() -> None:
    """Losses are means over groupings, and the grouping is the one that lost most."""
    assert most_lost(LOSSES) == [PhotoLoss(1, 0, 0.3), PhotoLoss(3, 1, 0.2)]


def test_a_gain_is_a_negative_loss() -> None:
    """Gains are the same with the other sign."""
    assert most_gained(LOSSES) == [PhotoLoss(2, 1, -0.4)]


@given(arrays(float, (3, 12), elements=st.floats(-1, 1)), st.integers(0, 20))
def test_photos_that_change_are_sorted_and_limited(losses: np.ndarray, count: int) -> None:
    """No more than so many photos, the most changed first, none twice, none without a change."""
    lost, gained = most_lost(losses, count), most_gained(losses, count)
    assert len(lost) <= count >= len(gained)
    assert [each.loss for each in lost] == sorted((each.loss for each in lost), reverse=True)
    assert [each.loss for each in gained] == sorted(each.loss for each in gained)
    assert all(each.loss > LEAST for each in lost)
    assert not {each.photo for each in lost} & {each.photo for each in gained}
