"""Logs of outages: one line when an outage begins, and one when it has ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from gateway.core.clock import Clock

log = logging.getLogger("imgrid")

QUIET_S = 10.0
"""How long nothing may have failed before a success ends an outage. A part of whose calls every
other one fails has one outage, not hundreds."""


@dataclass
class _Outage:
    """One outage so far: when it began, its last failure, their number, and the faults that were
    logged."""

    began_at: float
    last_at: float
    failures: int = 0
    faults: set[str] = field(default_factory=set)


class OutageLog:
    """Logs the first failure of each kind in an outage as a warning, and its end; other failures
    are logged for debugging. Holds the outages that have not ended, by the name of what fails."""

    def __init__(self, clock: Clock, quiet_s: float = QUIET_S) -> None:
        self._clock = clock
        self._quiet_s = quiet_s
        self._outages: dict[str, _Outage] = {}

    def failed(
        self, name: str, fault: str, message: str, *, error: BaseException | None = None
    ) -> None:
        """Takes note of a failure. `fault` is its kind, and `message` what is logged after the
        name; with an `error`, the first line has its traceback."""
        now = self._clock()
        outage = self._outages.setdefault(name, _Outage(now, now))
        outage.last_at = now
        outage.failures += 1
        is_new = fault not in outage.faults
        outage.faults.add(fault)
        level = logging.WARNING if is_new else logging.DEBUG
        log.log(level, "%s: %s", name, message, exc_info=error if is_new else None)

    def worked(self, name: str, *, is_over: bool = False) -> None:
        """Takes note of a success. It ends the outage if it `is_over` for sure, or if nothing has
        failed for a while."""
        outage = self._outages.get(name)
        now = self._clock()
        if outage is None or not (is_over or now - outage.last_at >= self._quiet_s):
            return
        del self._outages[name]
        log.warning(
            "%s: well again after %.0f s, in which %d calls failed",
            name,
            now - outage.began_at,
            outage.failures,
        )
