"""Providers: each answers one picture with detections. The entry points `imgrid.providers` name
them."""
