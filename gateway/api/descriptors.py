"""The descriptors of the process: each connection takes one."""

from __future__ import annotations

import errno
import os
import sys

MAX_DESCRIPTORS = 65_536
"""As many as a gateway ever needs; some systems allow a billion."""


def raise_descriptor_limit() -> int | None:
    """Raises the limit of open descriptors as far as the system allows, and returns it; None where
    the system has none. The usual limit of 1024 is a few hundred connections."""
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has a lower limit of its own
            return soft
        return wanted
    return min(soft, MAX_DESCRIPTORS) if soft != resource.RLIM_INFINITY else MAX_DESCRIPTORS


def are_descriptors_exhausted() -> bool:
    """Whether the process can open nothing more. uvloop drops connections then without a word."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
