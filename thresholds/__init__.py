"""When an answer from a grid may be trusted: pure, with no I/O but reading and writing JSON
files."""
