"""Azure Image Analysis as a provider."""
