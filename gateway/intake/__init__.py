"""Admission: from the bytes or the URL that a client sent to an admitted photo."""
