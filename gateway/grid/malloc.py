"""Makes the C library give back the memory of large pictures."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""glibc's parameters (malloc.h)."""
MAX_ARENAS = 2
RETURNED_BYTES = 8 * 1024 * 1024
"""Blocks of this size go back to the system when they are freed. Canvases are smaller, and
reused."""


def return_freed_memory() -> None:
    """From now on, blocks of large pictures go back to the system when they are freed, and threads
    share two heaps. Otherwise glibc keeps up to 32 MB a block in a heap for each thread.

    Changes nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_ARENA_MAX, MAX_ARENAS)
    mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES)
    mallopt(M_TRIM_THRESHOLD, RETURNED_BYTES)
