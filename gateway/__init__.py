"""HTTP in, HTTP out, and the flow between."""
