"""Log-odds and probabilities are each other's inverse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresholds.fusion.log_odds import log_odds, probability


@given(number=st.floats(1e-12, 1 - 1e-12))
def test_each_undoes_the_other(number: float) -> None:
    """The probability with the log-odds of a probability is that again."""
    assert probability(log_odds(number)) == pytest.approx(number)


@given(number=st.floats(-1e4, 1e4))
def test_any_log_odds_have_a_probability(number: float) -> None:
    """Log-odds of any size have a probability, without overflow."""
    assert 0 <= probability(number) <= 1


def test_certainty_has_infinite_log_odds() -> None:
    """The log-odds of 0 and 1 are infinite, and those of a half are 0."""
    assert (log_odds(0), log_odds(0.5), log_odds(1)) == (-math.inf, 0, math.inf)
