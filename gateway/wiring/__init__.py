"""Builds the parts of a gateway from its settings. Nothing else in the project builds any."""
