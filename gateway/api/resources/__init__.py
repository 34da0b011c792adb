"""The gateway's own endpoints: health and operations, routes, jobs, and unknown paths."""
