"""Acceptance rules of stages, found by the entry points `imgrid.rules`."""
