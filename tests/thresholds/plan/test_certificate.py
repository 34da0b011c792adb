"""What flagged photos certify of a recall."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from thresholds.fusion.arrays import Bools
from thresholds.plan.certificate import Certificate, cross_validated, recall_bound


@pytest.mark.parametrize(("missed", "count"), [(0, 1), (0, 49), (1, 98), (7, 98), (3, 5000)])
@pytest.mark.parametrize("delta", [0.05, 0.1])
def test_the_bound_is_that_of_clopper_and_pearson(missed: int, count: int, delta: float) -> None:
    """The bound is the quantile of a beta distribution that Clopper and Pearson's is known to
    be."""
    expected = beta.ppf(delta, count - missed, missed + 1)
    assert recall_bound(missed, count, delta) == pytest.approx(expected, abs=1e-9)


def test_nothing_is_certified_where_all_are_missed() -> None:
    """No photo, or none found, certifies a recall of 0."""
    assert recall_bound(0, 0, 0.05) == recall_bound(4, 4, 0.05) == 0


@pytest.mark.parametrize(("missed", "needed"), [(0, 299), (1, 473), (2, 628)])
def test_it_says_how_many_photos_certify_a_target(missed: int, needed: int) -> None:
    """The number of photos that certify a target is the least that does, if no more are missed."""
    certificate = Certificate(98 - missed, 98)
    assert certificate.photos_needed(0.99) == needed
    assert recall_bound(missed, needed, 0.05) >= 0.99 > recall_bound(missed, needed - 1, 0.05)


def test_a_certified_target_needs_no_more_photos() -> None:
    """A target that is certified needs the photos that there are."""
    assert Certificate(400, 400).photos_needed(0.99) == 400


def test_each_photo_is_judged_once_by_a_plan_without_it() -> None:
    """Each photo is left out of one plan and judged by that; plans that cannot be made judge
    none."""
    left_out: list[Bools] = []

    def found_outside(held_out: Bools) -> Bools | None:
        left_out.append(held_out)
        return None if held_out[0] else np.flatnonzero(held_out) != 5

    certificate = cross_validated(23, found_outside)
    assert np.sum(left_out, axis=0).tolist() == [1] * 23
    assert (certificate.found, certificate.photos) == (19, 20)
