"""Pages and figures of profiles and plans."""
