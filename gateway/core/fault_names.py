"""The faults of providers that configuration can name."""

from __future__ import annotations

from typing import Literal, get_args

FaultName = Literal["throttled", "unavailable", "no_answer", "misconfigured"]
"""What a route's fallback may be for."""


FAULTS: frozenset[str] = frozenset(get_args(FaultName))
