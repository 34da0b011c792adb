"""What goes wrong with requests to URLs that callers name."""

from __future__ import annotations


class UrlRefused(Exception):
    """The URL, or the address that it leads to, is not allowed. The message is safe to show to the
    caller."""


class FetchFailed(Exception):
    """The request was allowed and failed. `transient` if a later attempt may succeed. The message
    is safe to show to the caller."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class TooLarge(FetchFailed):
    """The answer has more bytes than the limit."""


class NotThere(FetchFailed):
    """The server has nothing at the URL, or not for us."""
