"""Compare the words of a caption with the elements and rings of a geometry, to choose among candidate captions.

Only atomic numbers and positions are read, no SMILES. The rules share nothing with `caption_facts`, which evaluates the
captions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds

from dataset_pubchem3d.chemistry.perception import place_atoms

# Parts of words that name an element. Parts of other words are excluded: examined, pyramid, elimination, fluorescent.
ELEMENT_WORDS = {
    7: r"(?<!ex)(?<!cont)(?<!vit)amin|(?<!pyr)amid|nitr|(?<!am)azo|azid|(?<!d)imin(?!a)|indol|pyrid|pyrim|purin|peptid"
    r"|alkaloid|\burea|carbam|lactam|guanid|piper(?:az|id)in",
    9: r"fluor(?!esc|en)",
    11: r"sodium",
    15: r"phosph(?!atas|oryla[st]|olipas|odiest)|nucleotid",
    16: r"sul[fp]|(?<!\be)(?<!sy)(?<!al)thi[oa]|methio|mercapt|cystein",
    17: r"chlor(?!ophy|oform|ogen|opl)",
    19: r"potassium",
    35: r"brom(?!el)",
    53: r"(?<!per)iod(?:o|in|id)",
}
NAMED_IF_PRESENT = (9, 15, 16, 17, 35, 53)  # elements that most captions name, in one word or another
RING_WORDS = r"(?<!a)cycl[io](?!oxyg)|benz|phen[oy]l|pyr(?:an|id|im|az|rol)|furan|indol|steroid|flavon|lacton"
PATTERNS = {element: re.compile(words, re.IGNORECASE) for element, words in ELEMENT_WORDS.items()}
RINGS = re.compile(RING_WORDS, re.IGNORECASE)
# What follows is about other compounds or about what the molecule does.
ELSEWHERE = re.compile(
    r"\b(?:derives? from|conjugate (?:acid|base) of|has a role|treatment|\S+ (?:channel|inhibit|receptor))[^.]*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Composition:
    """Elements and rings of a geometry.

    Args:
        elements: atomic numbers.
        num_rings: bonds minus atoms plus fragments, with bonds by distance; None if they cannot be found.
    """

    elements: frozenset[int]
    num_rings: int | None


def read_composition(record: Mapping[str, Any]) -> Composition:
    """Read elements and rings from a record of the feature extractor: `atomic_numbers` and `positions` (Å)."""
    numbers, positions = np.asarray(record["atomic_numbers"]), np.asarray(record["positions"])
    heavy = numbers > 1
    elements = frozenset(numbers[heavy].tolist())
    if heavy.sum() < 3:
        return Composition(elements, 0)
    mol = place_atoms(numbers[heavy].tolist(), positions[heavy])
    try:
        rdDetermineBonds.DetermineConnectivity(mol, useVdw=True)
    except (RuntimeError, ValueError):
        return Composition(elements, None)
    return Composition(elements, mol.GetNumBonds() - mol.GetNumAtoms() + len(Chem.GetMolFrags(mol)))


def count_contradictions(caption: str, composition: Composition) -> int:
    """Count what a caption says that the geometry lacks, and characteristic elements that it does not name.

    All rings count once. What a caption says of related compounds and effects may name an element, but is never wrong.
    """
    own = ELSEWHERE.sub("", caption)
    named, absent = (
        {element for element, pattern in PATTERNS.items() if pattern.search(text)} for text in (caption, own)
    )
    absent -= composition.elements
    unnamed = {element for element in NAMED_IF_PRESENT if element in composition.elements} - named
    rings = composition.num_rings == 0 and RINGS.search(own) is not None
    return len(absent) + len(unnamed) + int(rings)
