"""The edge: HTTP and gRPC around the dialects, from a request's bytes to a reply's."""
