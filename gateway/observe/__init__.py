"""Listeners to events: metrics, log, drift monitor. The pipeline knows none of them."""
