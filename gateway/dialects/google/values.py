"""Values that several of Google's annotations have.

Clients cannot parse an answer with a NaN, an infinity, an unknown enum name, or a fraction in a
vertex.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from gateway.core.model import Size
from gateway.dialects.detections import Corners, pixel_vertices
from gateway.vocabulary.likelihoods import UNKNOWN, VERY_LIKELY

LIKELIHOODS = ("UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")


def bounding_poly(corners: Corners, size: Size) -> dict[str, Any]:
    """A BoundingPoly in whole pixels of a photo of that size."""
    return {"vertices": pixel_vertices(corners, size)}


def likelihood_name(value: Any) -> str:
    """The name of a likelihood's number; UNKNOWN for any other value."""
    is_known = isinstance(value, int) and UNKNOWN <= value <= VERY_LIKELY
    return LIKELIHOODS[value if is_known else UNKNOWN]


def finite(value: Any) -> float:
    """The value as a float; 0 where it is no finite number."""
    return float(value) if isinstance(value, int | float) and isfinite(value) else 0.0
