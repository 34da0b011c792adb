"""Fusion of several looks at one photo into one answer: box fusion, features, models,
calibration."""
