"""Translation between the vocabularies of vendors: labels, moderation, faces. Pure; its tables are
data files."""
