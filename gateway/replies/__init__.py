"""Calls that SDKs send more than once: each is run once, and every try of it is answered from that run."""
