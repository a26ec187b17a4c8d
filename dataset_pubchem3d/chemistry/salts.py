"""Split salts, solvates and mixtures into parts, and name charges."""

from rdkit import Chem

from .molecular_graph import MolecularGraph

CARBON = 6
METALLOIDS_AND_NONMETALS = {1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54, 85, 86}
COUNTERPARTS = {  # SMILES without stereo of counterions and solvents
    "[Na+]": "sodium",
    "[K+]": "potassium",
    "[Li+]": "lithium",
    "[Ca+2]": "calcium",
    "[Mg+2]": "magnesium",
    "[Zn+2]": "zinc",
    "[Al+3]": "aluminium",
    "[NH4+]": "ammonium",
    "Cl": "hydrochloride",
    "Br": "hydrobromide",
    "I": "hydroiodide",
    "[Cl-]": "chloride",
    "[Br-]": "bromide",
    "[I-]": "iodide",
    "O": "hydrate",
    "O=S(=O)(O)O": "sulfate",
    "O=P(O)(O)O": "phosphate",
    "O=[N+]([O-])O": "nitrate",
    "O=[N+]([O-])[O-]": "nitrate",
    "CS(=O)(=O)O": "methanesulfonate",
    "Cc1ccc(S(=O)(=O)O)cc1": "toluenesulfonate",
    "CC(=O)O": "acetate",
    "O=C(O)C(F)(F)F": "trifluoroacetate",
    "O=C(O)C(=O)O": "oxalate",
    "O=C(O)C(O)C(O)C(=O)O": "tartrate",
    "O=C(O)CC(O)(CC(=O)O)C(=O)O": "citrate",
    "O=C(O)CCC(=O)O": "succinate",
    "F[B-](F)(F)F": "tetrafluoroborate",
    "F[P-](F)(F)(F)(F)F": "hexafluorophosphate",
    "[O-][Cl+3]([O-])([O-])[O-]": "perchlorate",
}


def take_main_part(mol: Chem.Mol) -> tuple[Chem.Mol, tuple[str, ...]]:
    """Return the largest part with carbon, and the names of the others.

    For an inorganic compound, return the whole molecule and the names of all parts.
    """
    if len(Chem.GetMolFrags(mol)) == 1:
        return mol, ()
    parts = Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False)
    for part in parts:
        Chem.SanitizeMol(part)
    keyed = [(Chem.MolToSmiles(part, isomericSmiles=False), part) for part in parts]
    keyed.sort(key=lambda item: (-_has_carbon(item[1]), -item[1].GetNumAtoms(), item[0]))
    if not _has_carbon(keyed[0][1]):
        return mol, tuple(sorted({name for smiles, part in keyed if (name := _name_counterpart(smiles, part))}))
    (main_smiles, main), *others = keyed
    names = []
    for smiles, part in others:
        if smiles == main_smiles:
            continue
        names.append(_name_counterpart(smiles, part))
    return main, tuple(sorted(set(names)))


def _has_carbon(mol: Chem.Mol) -> bool:
    return any(atom.GetAtomicNum() == CARBON for atom in mol.GetAtoms())


def _name_counterpart(smiles: str, part: Chem.Mol) -> str:
    if smiles in COUNTERPARTS:
        return COUNTERPARTS[smiles]
    neutral = Chem.Mol(part)
    for atom in neutral.GetAtoms():  # an anion has the name of its acid
        if atom.GetFormalCharge() == -1 and atom.GetAtomicNum() == 8 and atom.GetDegree() == 1:
            if any(n.GetFormalCharge() > 0 for n in atom.GetNeighbors()):
                continue
            atom.SetFormalCharge(0)
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    neutral.UpdatePropertyCache(strict=False)
    return COUNTERPARTS.get(Chem.MolToSmiles(neutral, isomericSmiles=False), "")


def name_charges(graph: MolecularGraph, groups: dict[str, int]) -> list[str]:
    """Name the classes by charge; charges that a neighbour balances, as in nitro groups, are ignored."""
    free = [
        charge
        for atom, charge in enumerate(graph.charges)
        if charge and not any(graph.charges[o] * charge < 0 for o, _ in graph.neighbours[atom])
    ]
    net = sum(graph.charges)
    is_organic = CARBON in graph.elements
    if not is_organic:
        neutral = ["inorganic salt"] if free else []
        return ["inorganic cation"] if net > 0 else ["inorganic anion"] if net < 0 else neutral
    if any(charge > 0 for charge in free) and any(charge < 0 for charge in free) and net == 0:
        return ["zwitterion"]
    names = ["organic cation"] if net > 0 else ["organic anion"] if net < 0 else []
    names += (
        ["ammonium ion derivative"]
        if net > 0 and groups.keys() & {"ammonium group", "quaternary ammonium group"}
        else []
    )
    return names


def is_metal(element: int) -> bool:
    """Return whether an element, given by its atomic number, is a metal."""
    return element not in METALLOIDS_AND_NONMETALS and element > 0
