"""The search over a profile for the cheapest cascade that meets a quality target, and its
promise."""
