"""Where accepted photos wait."""
