"""Profiles, plans and evaluations as a library."""
