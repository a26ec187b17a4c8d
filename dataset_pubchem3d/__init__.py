"""PubChem3D: geometry-text pairs of molecules. `python -m dataset_pubchem3d build` makes the folder."""

from .pubchem3d import PubChem3D

__all__ = ["PubChem3D"]
