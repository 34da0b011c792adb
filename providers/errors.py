"""The errors of providers. Each says what the gateway may do next:

ProviderError
├── PictureRefused    the picture is at fault
├── Throttled         wait, then try again
├── Unavailable       try again
├── NoAnswer          may be billed: try again only if the configuration allows it
└── Misconfigured     fails until the operator changes something
"""

from __future__ import annotations


class ProviderError(Exception):
    """A call failed. Nothing was billed unless a subclass says otherwise."""


class PictureRefused(ProviderError):
    """The provider will never accept this picture; another one may pass."""


class Throttled(ProviderError):
    """Too many requests. `retry_after_s` is the wait the provider asked for, if it did."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ProviderError):
    """A temporary fault: an internal error, no connection."""


class NoAnswer(ProviderError):
    """The request was sent and no answer came in time. It may have been billed."""


class Misconfigured(ProviderError):
    """The provider will refuse every picture until the operator changes something: credentials,
    permissions, a file."""
