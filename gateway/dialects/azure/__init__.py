"""Azure Image Analysis' wire format."""
