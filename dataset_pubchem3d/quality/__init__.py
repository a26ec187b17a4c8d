"""Check a built folder and measure the quality of its geometries."""
