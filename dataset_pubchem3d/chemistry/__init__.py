"""What a molecule is: identity, elements, structure, fingerprints and units. Imports nothing else of this project."""
