"""Figures over a sample of photos that was answered at every shape."""
