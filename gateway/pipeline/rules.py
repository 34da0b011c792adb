"""The operator's rules for the pipeline, whatever the route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BilledUnknownRule = Literal["retry", "fail"]
"""Whether a call that may have been billed is repeated, or its photos fail."""


@dataclass(frozen=True, slots=True)
class PipelineRules:
    """The rules. Times are in seconds.

    A canvas that shows only photos of jobs is retried for `job_tries_s` after faults that pass;
    then its photos make room for others and come back after `job_pause_s`.
    """

    billed_unknown: BilledUnknownRule = "retry"
    job_wait_s: float = 2.0
    job_deadline_s: float = 86_400.0
    job_tries_s: float = 60.0
    job_pause_s: float = 5.0
    fetch_below_bytes: int = 1 << 40
    """Remote photos are fetched while the buffer holds fewer bytes."""
