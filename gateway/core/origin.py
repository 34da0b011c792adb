"""What the answers of a route depend on beside the photo, while models change under way."""

from __future__ import annotations

import math


class Origin:
    """A digest of cascade, providers and models. Holds the earlier digests, and since when each
    was in force: a photo that was accepted before a change may have been answered by either
    model."""

    def __init__(self, digest: str) -> None:
        self._history = [(-math.inf, digest)]

    @property
    def digest(self) -> str:
        """The digest now."""
        return self._history[-1][1]

    def at(self, accepted_at: float) -> str:
        """The digest in force when a photo was accepted, by the buffer's clock."""
        return next(digest for since, digest in reversed(self._history) if since <= accepted_at)

    def has_changed_since(self, accepted_at: float) -> bool:
        """Whether another digest came into force after a photo was accepted."""
        return self._history[-1][0] > accepted_at

    def change(self, digest: str, now: float) -> None:
        """Puts a digest into force from now on."""
        if digest != self.digest:
            self._history.append((now, digest))
