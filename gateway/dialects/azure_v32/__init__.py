"""Azure Computer Vision 3.2's wire format."""
