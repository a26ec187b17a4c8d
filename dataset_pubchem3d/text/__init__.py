"""What is said of a molecule: composed from facts, or cleaned."""
