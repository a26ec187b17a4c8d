"""Where texts, structures and geometries come from: one file per source."""
