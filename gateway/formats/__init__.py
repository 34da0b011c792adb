"""The files of photos: opening them, what decoding them takes, and mending them."""
