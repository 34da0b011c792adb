"""The demo: drawn signs to read, a gateway with many clients, annotated canvases, and a page."""
