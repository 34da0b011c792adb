"""The names of providers' faults in the configuration."""

from __future__ import annotations

from typing import Literal, get_args

ProviderFault = Literal["throttled", "unavailable", "no_answer", "misconfigured"]
"""A fault of a provider for which a route may have a fallback."""
FaultName = ProviderFault | Literal["overload"]
"""The same, or that a photo would wait longer than its deadline."""

FAULTS: frozenset[str] = frozenset(get_args(ProviderFault))
OVERLOAD: FaultName = "overload"
