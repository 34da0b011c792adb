"""Work that is handed in, and answered later."""
