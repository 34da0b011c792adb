"""The gateway's own wire format, `/v1/detect`."""
