"""The configuration: its keys, how file and environment are read, and its checks."""
