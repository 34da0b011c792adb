"""How good answers are: average precision, a box's worth, scores over a sample."""
