"""Chemistry of molecules: identity, elements, structure, fingerprints and units; imports no other part of geomclip."""
