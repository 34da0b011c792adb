"""Cascades of classifiers: what several models said of the same photos, and the cheapest order to
ask them in."""
