"""Azure AI Vision Image Analysis as a provider."""
