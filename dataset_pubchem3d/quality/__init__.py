"""Whether a built folder is sound, and how good its geometries are."""
