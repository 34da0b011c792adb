"""Detections in one line, and detections at random."""

from __future__ import annotations

from typing import Any

from providers.detection import Box, Detection


def detection(label: str, score: float, *corners: float, **fields: Any) -> Detection:
    """A detection with these corners x0, y0, x1, y1, or of the whole photo where none are given."""
    return Detection(label, score, Box(*(corners or (0.0, 0.0, 1.0, 1.0))), **fields)
