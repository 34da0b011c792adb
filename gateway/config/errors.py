"""The error of a configuration that cannot be meant."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration cannot be used; the message names file and key, and the way out."""
