"""Classify fatty acids and their derivatives by the length and the double bonds of their carbon chains."""

from dataclasses import dataclass

from rdkit import Chem

from .molecular_graph import MolecularGraph

CARBON, NITROGEN, OXYGEN, PHOSPHORUS, SULFUR = 6, 7, 8, 15, 16
SHORTEST_FATTY_ACID = 4  # carbons
SHORTEST_FATTY_CHAIN = 8  # carbons in an ester or amide
ACYL = Chem.MolFromSmarts("[CX3;!R](=O)([CX4,CX3])[OX2,NX3,SX2,OX1-]")
GLYCEROL = Chem.MolFromSmarts("[OX2][CX4H2;!R][CX4H1;!R]([OX2])[CX4H2;!R][OX2]")
SPHINGOID = Chem.MolFromSmarts("[OX2,OX1-][CX4H2;!R][CX4H1;!R]([NX3,NX4+])[CX4H1;!R]([OX2H1])[#6;!R]")
HEADS = (
    ("glycerophosphocholine", "P(=O)([OX2H1,OX1-])OCC[N+](C)(C)C"),
    ("glycerophosphoserine", "P(=O)([OX2H1,OX1-])OCC([NX3,NX4+])C(=O)[OX2H1,OX1-]"),
    ("glycerophosphoethanolamine", "P(=O)([OX2H1,OX1-])O[CH2][CH2][NX3,NX4+;!$([N+](C)(C)C)]"),
    ("glycerophosphoinositol", "P(=O)([OX2H1,OX1-])OC1C(O)C(O)C(O)C(O)C1O"),
    ("glycerophosphoglycerol", "O([CH2]C(O)[CH2]O)P(=O)([OX2H1,OX1-])O[CH2]C([OX2H1])[CH2]O"),
)
HEAD_PATTERNS = tuple((name, Chem.MolFromSmarts(smarts)) for name, smarts in HEADS)
ACYL_NAMES = {
    (8, 0): "octanoyl",
    (10, 0): "decanoyl",
    (12, 0): "dodecanoyl",
    (14, 0): "tetradecanoyl",
    (16, 0): "hexadecanoyl",
    (16, 1): "hexadecenoyl",
    (18, 0): "octadecanoyl",
    (18, 1): "octadecenoyl",
    (18, 2): "octadecadienoyl",
    (18, 3): "octadecatrienoyl",
    (20, 0): "icosanoyl",
    (20, 4): "icosatetraenoyl",
    (20, 5): "icosapentaenoyl",
    (22, 0): "docosanoyl",
    (22, 6): "docosahexaenoyl",
}


@dataclass(frozen=True, slots=True)
class Chain:
    """An unbranched chain that starts at a carbonyl group.

    Attributes:
        num_carbons: number of carbons, including the carbonyl carbon.
        num_double_bonds: number of its double bonds.
        is_plain: whether it bears only hydrogen.
    """

    num_carbons: int
    num_double_bonds: int
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Lipid:
    """The lipid classes of a molecule, the most specific first, and its fatty acyl chains."""

    names: tuple[str, ...]
    chains: tuple[Chain, ...]


def find_longest_chain(graph: MolecularGraph) -> int:
    """Return the number of carbons in the longest chain outside rings."""
    carbons = {atom for atom, element in enumerate(graph.elements) if element == CARBON and not graph.in_ring[atom]}
    longest, seen = 0, set()
    for start in carbons:
        if start not in seen:
            end, _, reached = _find_farthest(graph, start, carbons)
            seen |= reached
            longest = max(longest, _find_farthest(graph, end, carbons)[1])
    return longest


def _find_farthest(graph: MolecularGraph, start: int, carbons: set[int]) -> tuple[int, int, set[int]]:
    distance, todo = {start: 1}, [start]
    for atom in todo:
        for other, _ in graph.neighbours[atom]:
            if other in carbons and other not in distance:
                distance[other] = distance[atom] + 1
                todo.append(other)
    return todo[-1], distance[todo[-1]], set(distance)


def read_chain(graph: MolecularGraph, carbonyl: int, start: int) -> Chain | None:
    """Read the chain that leads from a carbonyl carbon to `start`; None if it is branched or reaches a ring."""
    before, atom, length, double, plain = carbonyl, start, 2, 0, True
    while True:
        if graph.in_ring[atom]:
            return None
        others = [(other, order) for other, order in graph.neighbours[atom] if other != before]
        carbons = [(other, order) for other, order in others if graph.elements[other] == CARBON]
        plain &= len(carbons) == len(others)
        if not carbons:
            return Chain(length, double, plain)
        if len(carbons) > 1 or carbons[0][1] == 3:
            return None
        before, (atom, order) = atom, carbons[0]
        double += order == 2
        length += 1


def list_acyl_chains(mol: Chem.Mol, graph: MolecularGraph) -> list[tuple[int, int, Chain]]:
    """List the acyl groups with an unbranched chain: the atom they are bound to, the carbonyl carbon and the chain."""
    found = []
    for carbonyl, _, start, beyond in mol.GetSubstructMatches(ACYL, maxMatches=100):
        if (chain := read_chain(graph, carbonyl, start)) is not None:
            found.append((beyond, carbonyl, chain))
    return found


def find_lipid(mol: Chem.Mol, graph: MolecularGraph, num_acids: int) -> Lipid:
    """Classify a molecule as a lipid.

    Args:
        mol, graph: the molecule.
        num_acids: number of carboxy and carboxylate groups.
    """
    acyls = list_acyl_chains(mol, graph)
    fatty = [(atom, chain) for atom, _, chain in acyls if chain.num_carbons >= SHORTEST_FATTY_CHAIN]
    bound = [(atom, chain) for atom, chain in fatty if not _is_acid_oxygen(graph, atom)]
    names = _name_fatty_acid(graph, acyls) if num_acids == 1 and not any(graph.in_ring) else []
    if num_acids == 2 and not any(graph.in_ring):
        names += _name_dicarboxylic_acid(graph, acyls)
    names += _name_glycerolipid(mol, graph, acyls) + _name_sphingolipid(mol, graph)
    elements = {graph.elements[atom] for atom, _ in bound}
    names += ["fatty acid ester"] if OXYGEN in elements else []
    names += ["fatty amide"] if NITROGEN in elements else []
    names += ["fatty acyl thioester"] if SULFUR in elements else []
    chains = sorted((chain for _, chain in bound), key=lambda chain: (-chain.num_carbons, chain.num_double_bonds))
    return Lipid(tuple(names), tuple(chains))


def _is_acid_oxygen(graph: MolecularGraph, atom: int) -> bool:
    return graph.elements[atom] == OXYGEN and len(graph.neighbours[atom]) == 1


def _name_fatty_acid(graph: MolecularGraph, acyls: list) -> list[str]:
    """Name an open-chain molecule of carbon, oxygen and hydrogen with one carboxy group."""
    if set(graph.elements) != {CARBON, OXYGEN} or any(charge > 0 for charge in graph.charges):
        return []
    acid = next(
        atom
        for atom, element in enumerate(graph.elements)
        if element == CARBON
        and [order for o, order in graph.neighbours[atom] if graph.elements[o] == OXYGEN] in ([1, 2], [2, 1])
        and any(_is_acid_oxygen(graph, o) for o, order in graph.neighbours[atom] if order == 1)
    )
    oxygens = [atom for atom, element in enumerate(graph.elements) if element == OXYGEN]
    if any(len(graph.neighbours[atom]) > 1 for atom in oxygens):  # ethers and esters
        return []
    carbons = {atom for atom, element in enumerate(graph.elements) if element == CARBON}
    end, length, _ = _find_farthest(graph, acid, carbons)
    if length < SHORTEST_FATTY_ACID:
        return []
    suffix = " anion" if any(graph.charges) else ""
    unsaturated = sum(
        order > 1 for one, other, order in graph.bonds if graph.elements[one] == graph.elements[other] == CARBON
    )
    hydroxy = [a for a in oxygens if graph.hydrogens[a] and graph.neighbours[a][0][0] != acid]
    oxo = [a for a in oxygens if graph.neighbours[a][0][1] == 2 and graph.neighbours[a][0][0] != acid]
    size = "short" if length < 6 else "medium" if length < 13 else "long" if length < 23 else "very long"
    is_straight = length == len(carbons)
    names = []
    if is_straight and not unsaturated and not hydroxy and not oxo:
        names.append(f"straight-chain saturated fatty acid{suffix}")
    elif not is_straight:
        names.append(f"branched-chain {'' if unsaturated else 'saturated '}fatty acid{suffix}")
    if unsaturated:
        names.append(f"{'monounsaturated' if unsaturated == 1 else 'polyunsaturated'} fatty acid{suffix}")
    names.append(f"{size}-chain fatty acid{suffix}")
    names += [f"hydroxy fatty acid{suffix}"] if hydroxy else []
    names += [f"oxo fatty acid{suffix}"] if oxo else []
    names += [f"omega-hydroxy fatty acid{suffix}"] if is_straight and _bears(graph, end, hydroxy) else []
    return names


def _bears(graph: MolecularGraph, atom: int, oxygens: list[int]) -> bool:
    return any(other in oxygens for other, _ in graph.neighbours[atom])


def _name_dicarboxylic_acid(graph: MolecularGraph, acyls: list) -> list[str]:
    num_carbons = graph.elements.count(CARBON)
    acids = [chain for atom, _, chain in acyls if _is_acid_oxygen(graph, atom)]
    straight = bool(acids) and all(chain.num_carbons == num_carbons for chain in acids) and num_carbons > 3
    return ["alpha,omega-dicarboxylic acid"] if straight and not any(graph.charges) else []


def _name_glycerolipid(mol: Chem.Mol, graph: MolecularGraph, acyls: list) -> list[str]:
    acylated = {atom for atom, _, chain in acyls if chain.num_carbons >= 2}
    found: list[list[str]] = []
    for one, _, _, two, _, three in mol.GetSubstructMatches(GLYCEROL, maxMatches=20):
        oxygens = (one, two, three)
        num_acyl = sum(oxygen in acylated for oxygen in oxygens)
        num_free = sum(graph.hydrogens[oxygen] == 1 for oxygen in oxygens)
        has_phosphate = any(graph.elements[o] == PHOSPHORUS for oxygen in oxygens for o, _ in graph.neighbours[oxygen])
        num_chains = num_acyl + sum(_is_alkyl_ether(graph, oxygen) for oxygen in oxygens)
        if has_phosphate and num_chains + num_free == 2 and num_chains:
            found.append(_name_phospholipid(mol, num_chains))
        elif num_acyl + num_free == 3 and num_acyl:
            found.append([("monoglyceride", "diglyceride", "triglyceride")[num_acyl - 1], "glycerolipid"])
    return max(found, default=[])


def _is_alkyl_ether(graph: MolecularGraph, oxygen: int) -> bool:
    """Return whether an oxygen is bound to two carbons outside rings, neither of which is a carbonyl carbon."""
    carbons = [
        atom for atom, _ in graph.neighbours[oxygen] if graph.elements[atom] == CARBON and not graph.in_ring[atom]
    ]
    return len(carbons) == 2 and not any(
        graph.elements[o] == OXYGEN and order == 2 for atom in carbons for o, order in graph.neighbours[atom]
    )


def _name_phospholipid(mol: Chem.Mol, num_chains: int) -> list[str]:
    head = next((name for name, pattern in HEAD_PATTERNS if mol.HasSubstructMatch(pattern)), None)
    names = [head] if head else []
    names += ["lysophospholipid"] if num_chains == 1 else []
    return [*names, "glycerophospholipid"]


def _name_sphingolipid(mol: Chem.Mol, graph: MolecularGraph) -> list[str]:
    for oxygen, _, _, nitrogen, _, _, start in mol.GetSubstructMatches(SPHINGOID, maxMatches=20):
        carbons = {atom for atom, element in enumerate(graph.elements) if element == CARBON and not graph.in_ring[atom]}
        if _find_farthest(graph, start, carbons)[1] < SHORTEST_FATTY_CHAIN + 3:
            continue
        neighbours = [other for other, _ in graph.neighbours[nitrogen]]
        is_acylated = any(
            graph.elements[o] == OXYGEN and order == 2 for atom in neighbours for o, order in graph.neighbours[atom]
        )
        beyond = [other for other, _ in graph.neighbours[oxygen]]
        has_phosphate = any(graph.elements[other] == PHOSPHORUS for other in beyond)
        has_sugar = any(graph.in_ring[other] for other in beyond)
        if is_acylated:
            name = "sphingophospholipid" if has_phosphate else "glycosphingolipid" if has_sugar else "ceramide"
            return [name, "sphingolipid"]
        return ["sphingoid", "sphingolipid"]
    return []
