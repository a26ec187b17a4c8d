"""Name the substituents of a molecule's rings, and find how its rings are joined."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rdkit import Chem

from .molecular_graph import AROMATIC, MolecularGraph
from .ring_names import RingSystem, find_ring_systems

LARGEST = 9  # maximum atoms of a substituent with a name, without its rings
BONDS = {1.0: "-", 2.0: "=", 3.0: "#", AROMATIC: ":"}
SUBSTITUENTS = """
F fluoro; Cl chloro; Br bromo; I iodo; O hydroxy; [O-] oxido; S sulfanyl; N amino; [NH3+] ammonio; C methyl; CC ethyl
CCC propyl; C(C)C isopropyl; CCCC butyl; C(C)CC sec-butyl; CC(C)C isobutyl; C(C)(C)C tert-butyl; CCCCC pentyl
CCCCCC hexyl; CCCCCCC heptyl; CCCCCCCC octyl; C=C vinyl; CC=C allyl; C(C)=C isopropenyl; CC=C(C)C prenyl; C#C ethynyl
CC#C propargyl; C(F)(F)F trifluoromethyl; C(F)F difluoromethyl; C(Cl)(Cl)Cl trichloromethyl; CCl chloromethyl
CBr bromomethyl; CF fluoromethyl; OC methoxy; OCC ethoxy; OCCC propoxy; OC(C)C isopropoxy; OC(F)(F)F trifluoromethoxy
OC(F)F difluoromethoxy; OCc1ccccc1 benzyloxy; Oc1ccccc1 phenoxy; OC(C)=O acetoxy; OC(=O)c1ccccc1 benzoyloxy
NC methylamino; NCC ethylamino; N(C)C dimethylamino; N(CC)CC diethylamino; NC(C)=O acetamido; NC(=O)c1ccccc1 benzamido
Nc1ccccc1 anilino; NCc1ccccc1 benzylamino; [N+](=O)[O-] nitro; C#N cyano; C=O formyl; C(C)=O acetyl; C(CC)=O propanoyl
C(=O)c1ccccc1 benzoyl; C(=O)C(F)(F)F trifluoroacetyl; C(=O)O carboxy; C(=O)[O-] carboxylato; C(=O)OC methoxycarbonyl
C(=O)OCC ethoxycarbonyl; C(=O)OC(C)(C)C tert-butoxycarbonyl; C(N)=O carbamoyl; C(=O)NC methylcarbamoyl
C(=O)N(C)C dimethylcarbamoyl; C(=O)Nc1ccccc1 phenylcarbamoyl; C(=O)NCc1ccccc1 benzylcarbamoyl; CO hydroxymethyl
CCO 2-hydroxyethyl; C(C)O 1-hydroxyethyl; CN aminomethyl; CCN 2-aminoethyl; CN(C)C (dimethylamino)methyl
CC(=O)O carboxymethyl; CCC(=O)O 2-carboxyethyl; CC#N cyanomethyl; COC methoxymethyl; CCOC 2-methoxyethyl
OCC(=O)O carboxymethoxy; Cc1ccccc1 benzyl; CCc1ccccc1 2-phenylethyl; C(C)c1ccccc1 1-phenylethyl
CC1CCCCC1 cyclohexylmethyl; CC1CC1 cyclopropylmethyl; SC methylsulfanyl; SCC ethylsulfanyl; Sc1ccccc1 phenylsulfanyl
S(C)=O methylsulfinyl; S(C)(=O)=O methylsulfonyl; S(=O)(=O)c1ccccc1 phenylsulfonyl; S(N)(=O)=O sulfamoyl
S(=O)(=O)O sulfo; S(=O)(=O)[O-] sulfonato; OS(=O)(=O)O sulfooxy; OP(=O)(O)O phosphonooxy; N=C=S isothiocyanato
B(O)O dihydroxyboranyl; Cc1cccnc1 pyridinylmethyl; NS(C)(=O)=O methanesulfonamido; CCCO 3-hydroxypropyl
OCCO 2-hydroxyethoxy; C(C)(C)O 2-hydroxypropan-2-yl; NN hydrazinyl; C(=O)NN hydrazinecarbonyl
"""
DOUBLY_BONDED = {8: "oxo", 16: "thioxo", 6: "methylidene"}
RADICALS = {
    "benzene": "phenyl",
    "naphthalene": "naphthyl",
    "furan": "furyl",
    "thiophene": "thienyl",
    "oxolane": "tetrahydrofuranyl",
    "oxane": "tetrahydropyranyl",
    "pyrylium": None,
    "pyranose": None,
    "furanose": None,
}
LINKERS = {  # linkers between two rings, as worded in a sentence
    "O": "an ether oxygen",
    "S": "a sulfur atom",
    "N": "an amino nitrogen",
    "C": "a single carbon atom",
    "C(=O)": "a carbonyl group",
    "S(=O)(=O)": "a sulfonyl group",
}


@dataclass(frozen=True, slots=True)
class Decorated:
    """A ring system with a name, and its substituents.

    Attributes:
        ring: name of the ring system.
        names: names and counts of the substituents.
        num_other: number of substituents without a name.
        pattern: positions of the substituents of a benzene ring, such as "1,2,4"; "" for other rings.
        pairs: two named substituents of a benzene ring and "ortho", "meta" or "para".
    """

    ring: str
    names: tuple[tuple[str, int], ...]
    num_other: int
    pattern: str
    pairs: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Joint:
    """The names of two joined rings, in alphabetical order, and their `linker`; "" for a bond."""

    one: str
    other: str
    linker: str


class _Reader:
    """Reads the substituents of one molecule."""

    def __init__(self, graph: MolecularGraph, systems: Sequence[RingSystem], names: dict[frozenset[int], str]):
        self.graph = graph
        self.names = names
        self.owner = {atom: system for system in systems for atom in system.atoms}

    def make_branch(self, atom: int, before: int, room: list[int]) -> str | None:
        """Return a string that identifies a substituent; None if it is too large or reaches a ring without a name."""
        if (system := self.owner.get(atom)) is not None:
            name = self.names.get(system.atoms)
            return f"<{name}>" if name and self._stands_bare(system, before) else None
        room[0] -= 1
        if room[0] < 0:
            return None
        branches = []
        for other, order in self.graph.neighbours[atom]:
            if other != before:
                branch = self.make_branch(other, atom, room)
                if branch is None:
                    return None
                branches.append(BONDS[order] + branch)
        sign = {-1: "-", 1: "+"}.get(self.graph.charges[atom], "")
        return f"{self.graph.elements[atom]}{sign}({','.join(sorted(branches))})"

    def _stands_bare(self, system: RingSystem, before: int) -> bool:
        """Return whether a ring system has no substituent except one atom."""
        outside = [o for atom in system.atoms for o, _ in self.graph.neighbours[atom] if o not in system.atoms]
        return outside == [before]

    def name(self, atom: int, before: int, order: float) -> str | None:
        """Return the name of a substituent, without a locant; None if it has no name here."""
        graph = self.graph
        if order == 2:
            is_end = len(graph.neighbours[atom]) == 1
            return DOUBLY_BONDED.get(graph.elements[atom]) if is_end else None
        if (system := self.owner.get(atom)) is not None:
            ring = self.names.get(system.atoms)
            radical = name_radical(ring) if ring else None
            return radical if radical is None or self._stands_bare(system, before) else f"substituted {radical}"
        branch = self.make_branch(atom, before, [LARGEST])
        return _read_substituents().get(branch) if branch is not None else None


def name_radical(ring: str) -> str | None:
    """Return the name of a ring as a substituent, such as pyridinyl; None if it has no simple name."""
    if ring in RADICALS:
        return RADICALS[ring]
    if ring.startswith("cyclo") and ring.endswith("ane"):
        return ring[:-3] + "yl"
    if ring.endswith(("one", "ium", "dione")) or " " in ring:
        return None
    return ring.removesuffix("e") + "yl"


def decorate(graph: MolecularGraph, systems: Sequence[RingSystem], names: dict[frozenset[int], str]) -> list[Decorated]:
    """Return the named ring systems with their substituents, in an order that does not depend on the atom order.

    Args:
        graph: the molecule.
        systems: its ring systems.
        names: names of the systems, by their atoms.
    """
    reader = _Reader(graph, systems, names)
    found = []
    for system in systems:
        if (ring := names.get(system.atoms)) is not None:
            found.append(_decorate(reader, system, ring))
    return sorted(
        found, key=lambda decorated: (decorated.ring, decorated.names, decorated.num_other, decorated.pattern)
    )


def _decorate(reader: _Reader, system: RingSystem, ring: str) -> Decorated:
    graph, at = reader.graph, {}
    for atom in system.atoms:
        for other, order in graph.neighbours[atom]:
            if other not in system.atoms:
                at.setdefault(atom, []).append(reader.name(other, atom, order))
    named = [name for substituents in at.values() for name in substituents]
    counted = Counter(name for name in named if name)
    if ring.endswith("one") or ring in ("chromone", "coumarin"):
        counted.pop("oxo", None)  # part of the ring's name
        named = [name for name in named if name != "oxo"]
    pattern, pairs = "", ()
    if ring == "benzene":
        order = system.rings[0]
        pattern = _name_pattern([place for place, atom in enumerate(order) if atom in at])
        pairs = _list_pairs([(place, at[atom][0]) for place, atom in enumerate(order) if atom in at and at[atom][0]])
    return Decorated(ring, tuple(sorted(counted.items())), sum(name is None for name in named), pattern, pairs)


def _name_pattern(places: list[int]) -> str:
    """Return the lowest locants of positions on a six-membered ring."""
    turned = [sorted((sign * (place - start)) % 6 for place in places) for start in places for sign in (1, -1)]
    return ",".join(str(place + 1) for place in min(turned)) if turned else ""


def _list_pairs(named: list[tuple[int, str]]) -> tuple[tuple[str, str, str], ...]:
    """Return the relations between substituents that occur once, and between two equal ones."""
    counts = Counter(name for _, name in named)
    single = sorted((name, place) for place, name in named if counts[name] == 1)
    relations = {1: "ortho", 2: "meta", 3: "para"}
    pairs = [
        (one, other, relations[min((a - b) % 6, (b - a) % 6)])
        for number, (one, a) in enumerate(single)
        for other, b in single[number + 1 :]
    ]
    for name in sorted(name for name, count in counts.items() if count == 2):
        a, b = (place for place, other in named if other == name)
        pairs.append((name, name, relations[min((a - b) % 6, (b - a) % 6)]))
    return tuple(pairs)


def find_joints(graph: MolecularGraph, names: dict[frozenset[int], str]) -> list[Joint]:
    """Find the joints between named rings: a bond, one atom or a carbonyl or sulfonyl group. Each is listed once."""
    owner = {atom: (atoms, name) for atoms, name in names.items() for atom in atoms}
    found = set()
    for one, other, _ in graph.bonds:
        if one in owner and other in owner and owner[one][0] != owner[other][0]:
            found.add(Joint(*sorted((owner[one][1], owner[other][1])), ""))
    for atom in range(len(graph.elements)):
        if atom not in owner and not graph.in_ring[atom]:
            at = [owner[o] for o, _ in graph.neighbours[atom] if o in owner]
            linker = _read_linker(graph, atom, owner) if len(at) == 2 else None
            if linker is not None and at[0][0] != at[1][0]:
                found.add(Joint(*sorted(name for _, name in at), linker))
    return sorted(found, key=lambda joint: (joint.one, joint.other, joint.linker))


def _read_linker(graph: MolecularGraph, atom: int, owner: dict) -> str | None:
    rest = [(graph.elements[o], order) for o, order in graph.neighbours[atom] if o not in owner]
    element = graph.elements[atom]
    if element == 6 and rest == [(8, 2.0)]:
        return LINKERS["C(=O)"]
    if element == 16 and rest == [(8, 2.0), (8, 2.0)]:
        return LINKERS["S(=O)(=O)"]
    if rest or graph.charges[atom]:
        return None
    return {8: LINKERS["O"], 16: LINKERS["S"], 7: LINKERS["N"], 6: LINKERS["C"]}.get(element)


@cache
def _read_substituents() -> dict[str, str]:
    names = {}
    for entry in filter(None, (entry.strip() for entry in SUBSTITUENTS.replace("\n", ";").split(";"))):
        smiles, _, name = entry.partition(" ")
        mol = Chem.MolFromSmiles(f"C{smiles}")
        graph = MolecularGraph.from_mol(mol)
        systems = find_ring_systems(mol, graph)
        branch = _Reader(graph, systems, {s.atoms: s.name for s in systems}).make_branch(1, 0, [LARGEST])
        assert branch is not None, entry
        names[branch] = name
    return names
