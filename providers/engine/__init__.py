"""The runtime of local providers, and the reading of detection networks."""
