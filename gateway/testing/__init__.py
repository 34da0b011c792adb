"""For tests of this gateway and of what is built on it: fakes, drawn photos, a gateway that
runs."""
