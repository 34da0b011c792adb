"""The errors that HTTP statuses mean, as far as all services agree on them."""

from __future__ import annotations

from collections.abc import Mapping

from providers.errors import Misconfigured, NoAnswer, ProviderError, Throttled, Unavailable


def status_error(status: int, message: str, headers: Mapping[str, str]) -> ProviderError:
    """The error of a response without the expected content, by its status alone."""
    if status == 429:
        return Throttled(message, retry_after_s(headers))
    if status < 300 or status == 504:
        return NoAnswer(message)
    return Unavailable(message) if status >= 500 or status == 408 else Misconfigured(message)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` asks to wait; None if it is missing or a date."""
    wait_s = headers.get("Retry-After", "")
    return float(wait_s) if wait_s.isdigit() else None
