"""What a sample of photos answered at every stage, in figures."""
