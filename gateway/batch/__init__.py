"""Runs over many photos: their answers row by row, and what these say of all photos."""
