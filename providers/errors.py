"""What can go wrong with a provider."""

from __future__ import annotations


class ProviderError(Exception):
    """Something went wrong upstream. Nothing was billed unless a subclass says otherwise."""


class PictureRefused(ProviderError):
    """The provider will not look at this picture, now or later; another picture may pass."""


class Throttled(ProviderError):
    """Too many requests; `retry_after_s` where the provider said how long to wait."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ProviderError):
    """A passing fault: an internal error, no connection."""


class NoAnswer(ProviderError):
    """The request was sent and no answer came in time: it may or may not have been billed."""


class Misconfigured(ProviderError):
    """The provider will refuse every picture until somebody changes something: credentials,
    permissions, a file."""
