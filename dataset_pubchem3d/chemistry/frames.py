"""Find skeletons such as those of natural products, nucleobases and coenzyme A, with some of their substituents."""

from functools import cache

from rdkit import Chem

from .molecular_graph import MolecularGraph

OXYGEN, CARBON, FLUORINE = 8, 6, 9
FEWEST_ATOMS = 9  # heavy atoms of a molecule with one of these skeletons
STEROID = (
    "[#6]1~[#6]~[#6]~[#6]~[#6]2~[#6]~[#6]~[#6;A]3~[#6;A](~[#6]~1~2)"
    "~[#6;A]~[#6;A]~[#6;A]1~[#6;A]~3~[#6;A]~[#6;A]~[#6;A]~1"
)
POSITIONS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)  # of the atoms of `STEROID`
TRITERPENOID_HEAD = (
    "[#6;A]1~[#6;A]~[#6;A]~[CX4]([#6])([#6])~[#6;A]2~[#6;A]~[#6;A]~[#6;A]3~[#6;A](~[#6;A]~1~2)~[#6;A]~[#6;A]~"
)
PENTACYCLES = (
    TRITERPENOID_HEAD + "[#6;A]1~[#6;A]~3~[#6;A]~[#6;A]~[#6;A]2~[#6;A]~1~[#6;A]~[#6;A]~[#6;A]~[#6;A]~2",
    TRITERPENOID_HEAD + "[#6;A]1~[#6;A]~3~[#6;A]~[#6;A]~[#6;A]2~[#6;A]~1~[#6;A]~[#6;A]~[#6;A]~2",
)
FRAMES = (
    ("flavonol", "O=c1c([OX2H1])c(-c2ccccc2)oc2ccccc12"),
    ("flavone", "O=c1cc(-c2ccccc2)oc2ccccc12"),
    ("isoflavone", "O=c1c(-c2ccccc2)coc2ccccc12"),
    ("flavanone", "O=C1CC(c2ccccc2)Oc2ccccc12"),
    ("isoflavanone", "O=C1C(c2ccccc2)COc2ccccc12"),
    ("flavan-3-ol", "[OX2]C1Cc2ccccc2OC1c1ccccc1"),
    ("flavan", "C1Cc2ccccc2OC1c1ccccc1"),
    ("anthocyanidin cation", "c1ccc(-c2ccc3ccccc3[o+]2)cc1"),
    ("pterocarpan", "C1Oc2ccccc2C2Oc3ccccc3C12"),
    ("acyl-CoA", "[#6][CX3](=O)SCCNC(=O)CCNC(=O)C(O)C(C)(C)COP"),
    ("coenzyme A derivative", "SCCNC(=O)CCNC(=O)C(O)C(C)(C)COP"),
    ("adenine", "[NX3H2]c1n[cH]nc2n[cH]nc12"),
    ("guanine", "[NX3H2]c1nc2n[cH]nc2c(=O)n1"),
    ("cytosine", "[NX3H2]c1[cH][cH]nc(=O)n1"),
    ("thymine", "[CH3]c1[cH]nc(=O)nc1=O"),
    ("uracil", "O=c1[cH][cH]nc(=O)n1"),
    ("ergoline", "C1CNC2Cc3cnc4cccc(C2~C1)c34"),
    ("prostanoid", "[CX4,CX3;!R]~[CX4,CX3;!R][C;R]1~[C;R]~[C;R]~[C;R]~[C;R]1C~CC(O)CCCCC"),
    ("cyclitol", "[OX2]C1C([OX2])C([OX2])C([OX2])C([OX2])C1[OX2]"),
    ("polyene", "C=CC=CC=CC=CC=CC=CC=CC=C"),
)
FLAVONOIDS = {"flavonol", "flavone", "isoflavone", "flavanone", "isoflavanone", "flavan-3-ol", "flavan"}
FLAVONOIDS |= {"anthocyanidin cation", "pterocarpan"}
NUCLEOBASES = {"adenine", "guanine", "cytosine", "thymine", "uracil"}
BROADER = {
    "flavonol": {"flavone"},
    "flavan-3-ol": {"flavan"},
    "flavanone": {"flavan"},
    "acyl-CoA": {"coenzyme A derivative"},
}
NUMBERS = ("", "mono", "di", "tri", "tetra", "penta", "hexa")


def find_frames(mol: Chem.Mol, graph: MolecularGraph, groups: dict[str, int]) -> list[str]:
    """Return the names of the skeletons, the most specific first.

    Args:
        mol, graph: the molecule.
        groups: groups counted by `count_groups`.
    """
    if len(graph.elements) < FEWEST_ATOMS:
        return []
    names = _name_terpenoid(mol, graph)
    found = [name for name, pattern in _read_frames() if mol.HasSubstructMatch(pattern)]
    found = [name for name in found if not any(name in BROADER.get(other, ()) for other in found)]
    if FLAVONOIDS.intersection(found):
        names += [name for name in found if name in FLAVONOIDS]
        names += [*_count_at_flavonoid(graph, found, groups), "flavonoid"]
    return names + [name for name in found if name not in FLAVONOIDS]


def _count_at_flavonoid(graph: MolecularGraph, found: list[str], groups: dict[str, int]) -> list[str]:
    """Return names such as trihydroxyflavone, unless hydroxy groups belong to a sugar."""
    name = next((name for name in ("flavone", "isoflavone", "flavanone") if name in found), None)
    hydroxy, methoxy = groups.get("phenolic hydroxy group", 0), groups.get("methoxy group", 0)
    names = []
    if name and hydroxy == groups.get("hydroxy group", 0) and 0 < hydroxy < len(NUMBERS):
        names.append(f"{NUMBERS[hydroxy]}hydroxy{name}")
    if name and 0 < methoxy < len(NUMBERS) and "acetal group" not in groups:
        names.append(f"{NUMBERS[methoxy]}methoxy{name}")
    return names


def _name_terpenoid(mol: Chem.Mol, graph: MolecularGraph) -> list[str]:
    if sum(graph.in_ring) < 17:
        return []
    steroid, *pentacycles = _read_skeletons()
    if any(mol.HasSubstructMatch(pattern) for pattern in pentacycles):
        return ["pentacyclic triterpenoid"]
    matches = mol.GetSubstructMatches(steroid, maxMatches=4)
    return max((_name_steroid(graph, dict(zip(POSITIONS, match))) for match in matches), key=len, default=[])


def _name_steroid(graph: MolecularGraph, atoms: dict[int, int]) -> list[str]:
    """Name a steroid, given the atom of each position."""
    frame = set(atoms.values())
    outside = {
        position: [(other, order) for other, order in graph.neighbours[atom] if other not in frame]
        for position, atom in atoms.items()
    }
    carbons = {p: [o for o, _ in others if graph.elements[o] == CARBON] for p, others in outside.items()}
    if len(carbons[4]) == 2 and len(carbons[14]) + len(carbons[8]) >= 1:
        return ["tetracyclic triterpenoid"]
    names = ["steroid"]
    for position in (3, 17, 11, 7, 6, 12, 16):
        oxygens = [(o, order) for o, order in outside[position] if graph.elements[o] == OXYGEN]
        names += [f"{position}-hydroxy steroid"] * any(graph.hydrogens[o] for o, _ in oxygens)
        names += [f"{position}-oxo steroid"] * any(order == 2 for _, order in oxygens)
    for one, other in ((1, 2), (4, 5), (5, 6)):
        if any(o == atoms[other] and order == 2 for o, order in graph.neighbours[atoms[one]]):
            if one == 4 and "3-oxo steroid" in names:
                names.append("3-oxo-Delta(4) steroid")
            else:
                names.append(f"Delta({one}) steroid")
    if any(graph.elements[o] == FLUORINE for others in outside.values() for o, _ in others):
        names.append("fluorinated steroid")
    if len(carbons[17]) == 1 and len(carbons[10]) == len(carbons[13]) == 1:
        names += _name_side_chain(graph, carbons[17][0], frame)
    elif not carbons[17] and len(carbons[10]) == len(carbons[13]) == 1:
        names.append("androstanoid")
    return names


def _name_side_chain(graph: MolecularGraph, start: int, frame: set[int]) -> list[str]:
    """Name the side chain at position 17 by its carbons: two in a pregnane, eight in a cholestane."""
    carbons, todo = {start}, [start]
    while todo:
        for other, _ in graph.neighbours[todo.pop()]:
            if other not in frame and other not in carbons and graph.elements[other] == CARBON:
                if graph.in_ring[other]:
                    return []
                carbons.add(other)
                todo.append(other)
    names = {2: ["pregnane steroid"], 8: ["cholestanoid"], 9: ["ergostanoid"], 10: ["stigmastane steroid"]}
    oxo = [order for o, order in graph.neighbours[start] if graph.elements[o] == OXYGEN and order == 2]
    return names.get(len(carbons), []) + (["20-oxo steroid"] if oxo and len(carbons) == 2 else [])


@cache
def _read_frames() -> tuple[tuple[str, Chem.Mol], ...]:
    return tuple((name, Chem.MolFromSmarts(smarts)) for name, smarts in FRAMES)


@cache
def _read_skeletons() -> tuple[Chem.Mol, ...]:
    return tuple(Chem.MolFromSmarts(smarts) for smarts in (STEROID, *PENTACYCLES))
