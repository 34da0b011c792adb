"""A detector on an inference server as a provider."""
