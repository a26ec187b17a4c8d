"""Find chains of alpha-amino acids and name their amino acids."""

from dataclasses import dataclass
from functools import cache

from rdkit import Chem

from .molecular_graph import MolecularGraph

RESIDUE = Chem.MolFromSmarts("[NX3,NX4+;!$(N-[!#6;!#1])][CX4;H1,H2;!r3;!r4][CX3](=O)[#7X3,OX2,OX1-]")
NAMES = {2: "dipeptide", 3: "tripeptide", 4: "tetrapeptide", 5: "pentapeptide"}
LARGEST_SIDE_CHAIN = 12
SIDE_CHAINS = {  # the alpha carbon first; without hydrogens and charges
    "glycine": "C",
    "alanine": "CC",
    "valine": "CC(C)C",
    "leucine": "CCC(C)C",
    "isoleucine": "CC(C)CC",
    "serine": "CCO",
    "threonine": "CC(C)O",
    "cysteine": "CCS",
    "methionine": "CCCSC",
    "aspartic acid": "CCC(=O)O",
    "glutamic acid": "CCCC(=O)O",
    "asparagine": "CCC(N)=O",
    "glutamine": "CCCC(N)=O",
    "lysine": "CCCCCN",
    "ornithine": "CCCCN",
    "arginine": "CCCCNC(N)=N",
    "histidine": "CCc1cnc[nH]1",
    "phenylalanine": "CCc1ccccc1",
    "tyrosine": "CCc1ccc(O)cc1",
    "tryptophan": "CCc1c[nH]c2ccccc12",
    "proline": "C1CCCN1",
}


@dataclass(frozen=True, slots=True)
class Peptide:
    """The longest chain: its class, and the names of its amino acids in alphabetical order; empty if one is unknown."""

    name: str
    residues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Residue:
    nitrogen: int
    alpha: int
    carbonyl: int
    beyond: int  # nitrogen or oxygen at the carbonyl carbon


def find_peptide(mol: Chem.Mol, graph: MolecularGraph) -> Peptide | None:
    """Find the longest chain of at least two alpha-amino acids joined by amide bonds; None if there is none."""
    residues = _list_residues(mol, graph)
    if len(residues) < 2:
        return None
    by_nitrogen: dict[int, list[int]] = {}
    for place, residue in enumerate(residues):
        by_nitrogen.setdefault(residue.nitrogen, []).append(place)
    after = {
        place: by_nitrogen[residue.beyond][0] for place, residue in enumerate(residues) if residue.beyond in by_nitrogen
    }
    chain = max((_follow(start, after) for start in range(len(residues))), key=len)  # the first of several longest
    if len(chain) < 2:
        return None
    first, last = residues[chain[0]], residues[chain[-1]]
    is_cyclic = after.get(chain[-1]) == chain[0]
    length = NAMES.get(len(chain), "oligopeptide" if len(chain) <= 20 else "polypeptide")
    names = tuple(sorted(filter(None, (_name_residue(graph, residues[place]) for place in chain))))
    names = names if len(names) == len(chain) else ()
    if is_cyclic:
        return Peptide("cyclic peptide", names)
    is_free = graph.hydrogens[first.nitrogen] >= (2 if not graph.in_ring[first.nitrogen] else 1)
    is_acid = graph.elements[last.beyond] == 8 and (graph.hydrogens[last.beyond] or graph.charges[last.beyond])
    return Peptide(length if is_free and is_acid and names else f"{length} derivative", names)


def find_amino_acid(mol: Chem.Mol, graph: MolecularGraph) -> str | None:
    """Return the amino acid that a molecule with one residue is or is derived from, or None.

    The residue must be an acid or an ester, and its nitrogen must bear hydrogen, except in proline.
    """
    residues = _list_residues(mol, graph)
    if len(residues) != 1:
        return None
    name = _name_residue(graph, residues[0])
    is_acid = graph.elements[residues[0].beyond] == 8
    return name if is_acid and (graph.hydrogens[residues[0].nitrogen] or name == "proline") else None


def _list_residues(mol: Chem.Mol, graph: MolecularGraph) -> list[_Residue]:
    rings = mol.GetRingInfo()
    found = {}
    for nitrogen, alpha, carbonyl, _, beyond in mol.GetSubstructMatches(RESIDUE, maxMatches=200):
        bond = mol.GetBondBetweenAtoms(alpha, carbonyl).GetIdx()
        if not any(rings.IsBondInRingOfSize(bond, size) for size in (3, 4, 5)) and not graph.are_aromatic[beyond]:
            found[alpha] = _Residue(nitrogen, alpha, carbonyl, beyond)
    return list(found.values())


def _follow(start: int, after: dict[int, int]) -> list[int]:
    chain, seen = [start], {start}
    while (place := after.get(chain[-1])) is not None and place not in seen:
        chain.append(place)
        seen.add(place)
    return chain


def _name_residue(graph: MolecularGraph, residue: _Residue) -> str | None:
    atoms, todo, reaches_nitrogen = {residue.alpha}, [residue.alpha], False
    while todo:
        atom = todo.pop()
        for other, _ in graph.neighbours[atom]:
            if other == residue.nitrogen:
                reaches_nitrogen |= atom != residue.alpha  # as in proline
            elif other not in atoms and other != residue.carbonyl:
                atoms.add(other)
                todo.append(other)
        if len(atoms) > LARGEST_SIDE_CHAIN:
            return None
    atoms |= {residue.nitrogen} if reaches_nitrogen else set()
    bonds = [place for place, (one, other, _) in enumerate(graph.bonds) if one in atoms and other in atoms]
    return _read_side_chains().get(graph.make_key(atoms, bonds, root=residue.alpha))


@cache
def _read_side_chains() -> dict[str, str]:
    names = {}
    for name, smiles in SIDE_CHAINS.items():
        graph = MolecularGraph.from_mol(Chem.MolFromSmiles(smiles))
        names[graph.make_key(range(len(graph.elements)), range(len(graph.bonds)), root=0)] = name
    return names
