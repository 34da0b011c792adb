"""The resident memory of this process, and what loading a network adds to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def resident_bytes() -> int:
    """The resident memory of this process; its peak where the system does not tell more."""
    file = Path("/proc/self/statm")
    if file.exists():
        return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def loaded_with_growth(load: Callable[[], T]) -> tuple[T, int]:
    """What `load` returns, and the bytes by which the resident memory grew meanwhile. Other threads
    have their part in it."""
    before = resident_bytes()
    value = load()
    return value, max(resident_bytes() - before, 0)
