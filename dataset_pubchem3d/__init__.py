"""PubChem3D: geometry-text pairs of molecules. `python -m dataset_pubchem3d build` builds the folder."""

from .pubchem3d import PubChem3D

__all__ = ["PubChem3D"]
