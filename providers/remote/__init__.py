"""The frame of every provider behind a network: threads, HTTP, and the vendors' SDKs."""
