"""Google's likelihoods as scores, and scores as likelihoods.

| likelihood | score | scores from |
|---|---|---|
| 0 UNKNOWN | 0 | no score |
| 1 VERY_UNLIKELY | 0 | 0 |
| 2 UNLIKELY | 0.25 | 0.125 |
| 3 POSSIBLE | 0.5 | 0.375 |
| 4 LIKELY | 0.75 | 0.625 |
| 5 VERY_LIKELY | 1 | 0.875 |

https://cloud.google.com/vision/docs/reference/rest/v1/Likelihood
"""

from __future__ import annotations

from math import floor

UNKNOWN, VERY_UNLIKELY, VERY_LIKELY = 0, 1, 5


def likelihood(score: float | None) -> int:
    """The likelihood, 1 to 5, whose score is nearest, the higher one of two; UNKNOWN without a
    score.

    NaN counts as 0.
    """
    if score is None:
        return UNKNOWN
    return VERY_UNLIKELY + floor(4 * min(max(0.0, score), 1.0) + 0.5)


def score(likelihood: int) -> float:
    """The score of a likelihood, 0 to 1; 0 for UNKNOWN."""
    return (min(max(likelihood, VERY_UNLIKELY), VERY_LIKELY) - VERY_UNLIKELY) / 4
