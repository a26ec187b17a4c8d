"""The sources of texts, structures and geometries, one file each."""
