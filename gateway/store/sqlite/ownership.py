"""Which of the processes that use a database does the work that must be done once: feeding photos
of jobs, and delivering webhooks."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from gateway.core.file_lock import TAKEN, lock

log = logging.getLogger("imgrid")


class FileOwnership:
    """The ownership of a file. Holds the lock file, which is open and locked while this process is
    the owner, and why it is not (`problem`).

    The lock ends with the process, however it ends, so there is nothing to clean up. It is on a
    file of its own: SQLite would lose its locks on the database where that is opened twice.
    """

    def __init__(self, file: Path) -> None:
        self.problem = ""
        self._lock_file = file.with_name(f"{file.name}.lock")
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Whether this process is the owner now. It becomes the owner if there is none."""
        if self._handle is None:
            self._try_to_lock()
        return self._handle is not None

    def release(self) -> None:
        """Gives the ownership up."""
        if self._handle is not None:
            os.close(self._handle)  # this unlocks it
            self._handle = None

    def _try_to_lock(self) -> None:
        try:
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._refuse(f"its lock {self._lock_file.name} cannot be opened: {error.strerror}")
            return
        try:
            lock(handle)
        except OSError as error:
            owner = os.read(handle, 32).decode(errors="replace").strip()
            os.close(handle)
            if error.errno in TAKEN:
                self._refuse(f"another gateway owns it (process {owner or 'unknown'})")
            else:
                self._refuse(f"it cannot be locked: {error.strerror}")
            return
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._handle = handle
        if self.problem:
            log.warning("this gateway is the owner of %s now", self._lock_file.stem)
        self.problem = ""

    def _refuse(self, reason: str) -> None:
        """Notes why this process is not the owner, and logs it once."""
        if not self.problem:
            log.warning(
                "jobs.file %s: %s. This gateway answers clients and accepts jobs, but leaves their "
                "photos and webhooks to the owner until that ends. Give each gateway a jobs.file "
                "of its own, or let them share a Redis",
                self._lock_file.with_suffix(""),
                reason,
            )
        self.problem = f"not fed and not delivered by this gateway: jobs.file: {reason}"
