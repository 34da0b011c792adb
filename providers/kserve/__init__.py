"""A model behind a KServe v2 (Open Inference Protocol) server as a provider."""
