"""What one vendor calls a thing, in another's words: labels, moderation, faces. Pure; its tables
are data files."""
