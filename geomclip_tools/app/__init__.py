"""A page in the browser for an index: search by words and structures, explanations, 3D, and a map."""
