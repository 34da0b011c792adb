"""Amazon Rekognition as a provider."""
