"""Google Cloud Vision as a provider."""
