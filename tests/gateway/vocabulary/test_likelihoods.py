"""Google's likelihoods and scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vocabulary.likelihoods import likelihood, score


@pytest.mark.parametrize("grade", range(1, 6))
def test_a_likelihood_comes_back_from_its_score(grade: int) -> None:
    """Every likelihood but UNKNOWN has a score that gives that likelihood again."""
    assert likelihood(score(grade)) == grade


@pytest.mark.parametrize(
    ("given_score", "grade"),
    [
        (None, 0),
        (0, 1),
        (0.124, 1),
        (0.125, 2),
        (0.375, 3),
        (0.5, 3),
        (0.624, 3),
        (0.625, 4),
        (0.875, 5),
        (1, 5),
        (7, 5),
    ],
)
def test_a_score_is_the_nearest_likelihood(given_score: float | None, grade: int) -> None:
    """Buckets are those of the table: halfway goes up, no score is UNKNOWN, and a score beyond the
    scale is at its end."""
    assert likelihood(given_score) == grade


def test_unknown_scores_zero() -> None:
    """UNKNOWN has no score of its own: it is 0, as if very unlikely."""
    assert score(0) == 0


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_never_less_likely(first: float, second: float) -> None:
    """Likelihoods keep the order of scores."""
    low, high = sorted((first, second))
    assert likelihood(low) <= likelihood(high)


def test_a_score_that_is_nan_is_very_unlikely() -> None:
    """A score that is not a number counts as zero."""
    assert likelihood(float("nan")) == 1
