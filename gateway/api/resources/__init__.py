"""Endpoints of the gateway's own: health and operations, routes, jobs, and paths that are not
served."""
