"""Decides when an answer from a grid is accepted. Pure: the only I/O is reading and writing
files of its own."""
