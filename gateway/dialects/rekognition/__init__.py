"""Amazon Rekognition's wire format."""
