"""Measures cascades: over a gateway in this process, over stored answers, over a gateway's URL."""
