"""Google Cloud Vision's wire format, over REST and gRPC."""
