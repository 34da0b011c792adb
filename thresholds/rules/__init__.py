"""Rules that say whether an answer may be trusted. Found by the entry points `imgrid.rules`."""
