"""A lock on a file, which ends with its process, however that ends."""

from __future__ import annotations

import errno

TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
"""The errors of a file that another process has locked."""


def lock(handle: int) -> None:
    """Locks an open file until it is closed. Raises OSError where another process has, or it cannot
    be locked. Systems without POSIX locks have none."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
