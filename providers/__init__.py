"""Providers: each answers one picture with detections. Found by the entry points
`imgrid.providers`."""
