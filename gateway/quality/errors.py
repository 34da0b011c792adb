"""Errors of profiles, plans and evaluations beside ConfigError."""

from __future__ import annotations


class QuoteDeclined(Exception):
    """The caller did not agree to a price; nothing was sent."""
