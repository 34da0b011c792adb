"""Listeners to events: metrics, log and drift monitor. The pipeline imports none of them."""
