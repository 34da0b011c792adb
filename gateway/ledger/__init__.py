"""What was paid, and what the same answers would have cost alone."""
