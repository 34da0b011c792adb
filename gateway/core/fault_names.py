"""The names of providers' faults in the configuration."""

from __future__ import annotations

from typing import Literal, get_args

FaultName = Literal["throttled", "unavailable", "no_answer", "misconfigured"]
"""A fault for which a route may have a fallback."""

FAULTS: frozenset[str] = frozenset(get_args(FaultName))
