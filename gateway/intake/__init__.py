"""From what a client sent or named to an admitted photo: header checks, limits, URLs, object
stores."""
