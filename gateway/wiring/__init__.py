"""Settings become parts. Nothing else in the project builds any."""
