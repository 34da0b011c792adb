"""Metrics of answers: matching, average precision, agreement, reliability of scores."""
