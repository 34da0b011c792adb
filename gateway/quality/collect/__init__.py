"""Buys the answers that a profile is made from."""
