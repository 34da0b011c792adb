"""The options that plans over profiles share, of grids and of classifiers."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

BoundKind = Literal["bootstrap", "exact"]
"""As in `thresholds.plan.bounds`, which takes long to import."""
HELD_OUT_FOR_EXACT = 0.4

Take = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="ROW", help="Take this row of the front, whatever the goal allows."
    ),
]
Delta = Annotated[
    float,
    typer.Option(
        min=0.001, max=1, help="How often a promise may be wrong; 1: none, estimates decide."
    ),
]
HeldOut = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=0.9,
        help="Share of the photos that only the promise is made from: none for bootstrap, "
        "which cross-validates, and 0.4 for exact.",
    ),
]


def held_out_share(share: float | None, bound: BoundKind, delta: float) -> float:
    """The share of photos to hold out: none where nothing is promised."""
    if delta >= 1:
        return 0.0
    if share is None:
        return HELD_OUT_FOR_EXACT if bound == "exact" else 0.0
    return share
