"""The configuration: what file and environment may say, and the checks of it."""
