"""The elements that Uni-Mol has a token for."""

import numpy as np
from rdkit import Chem

DICTIONARY = (  # in the order of Uni-Mol's dict.txt, https://github.com/deepmodeling/Uni-Mol
    *(
        "C",
        "N",
        "O",
        "S",
        "H",
        "Cl",
        "F",
        "Br",
        "I",
        "Si",
        "P",
        "B",
        "Na",
        "K",
        "Al",
        "Ca",
        "Sn",
        "As",
        "Hg",
        "Fe",
        "Zn",
    ),
    *("Cr", "Se", "Gd", "Au", "Li"),
)
IN_DICTIONARY = np.isin(np.arange(256), [Chem.GetPeriodicTable().GetAtomicNumber(element) for element in DICTIONARY])
