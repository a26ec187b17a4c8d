"""Classify molecules by rules over their structure: classes with ChEBI's names, counted groups, rings and charges.

Stereochemistry is ignored. For a salt or mixture, the results describe its largest organic part.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem
from rdkit.rdBase import BlockLogs

from .class_names import name_classes, name_open_sugar
from .frames import NUCLEOBASES, find_frames
from .group_rules import count_groups, find_classes
from .lipids import Chain, find_lipid, find_longest_chain
from .molecular_graph import MolecularGraph
from .peptides import find_amino_acid, find_peptide
from .ring_names import RingSystem, find_ring_systems
from .ring_substituents import Decorated, Joint, decorate, find_joints
from .salts import is_metal, name_charges, take_main_part
from .sugars import find_sugars, name_nucleosides, name_saccharides

CARBON = 6
POLYCYCLES = {2: "bi", 3: "tri", 4: "tetra", 5: "penta", 6: "hexa"}


@dataclass(frozen=True, slots=True)
class StructureClasses:
    """The result of `classify`. Lists start with the most specific entry and do not depend on the atom order.

    Attributes:
        elements: number of atoms of each element except carbon and hydrogen, by atomic number, in the main part.
        has_carbon, has_hydrogen: whether the main part has these elements.
        num_heavy: number of heavy atoms of the main part.
        frames: classes by a large skeleton: steroids, saccharides, peptides, lipids, flavonoids.
        classes: classes by groups, elements and charges.
        groups: counts of functional groups.
        rings: counts of ring systems, by name; of a fused system without a name, counts of its named parts.
        whole_rings: names in `rings` of whole ring systems, not parts.
        ring_facts: classes by the number of rings and the way they are joined.
        num_rings, num_aromatic_rings: numbers of rings of the main part.
        decorated, joints: see `ring_substituents`.
        residues: amino acids of a peptide.
        amino_acid: amino acid that the molecule is or is made from, or None.
        acyl_chains: chains of fatty acyl groups.
        nucleobases: names of nucleobases.
        longest_chain: number of carbons in the longest chain outside rings.
        double_bonds, triple_bonds: numbers of non-aromatic bonds between carbons.
        charge: total charge of the main part.
        charges: classes by charge.
        counterparts: names of the parts besides the main part; "" for parts without a name.
        metals: atomic numbers of the metals in all parts.
        stereo: facts on the stereochemistry of all parts, if requested.
        smiles: canonical SMILES of all parts, without stereochemistry and isotopes.
    """

    elements: dict[int, int]
    has_carbon: bool
    has_hydrogen: bool
    num_heavy: int
    frames: tuple[str, ...]
    classes: tuple[str, ...]
    groups: dict[str, int]
    rings: dict[str, int]
    whole_rings: frozenset[str]
    ring_facts: tuple[str, ...]
    num_rings: int
    num_aromatic_rings: int
    decorated: tuple[Decorated, ...]
    joints: tuple[Joint, ...]
    residues: tuple[str, ...]
    amino_acid: str | None
    acyl_chains: tuple[Chain, ...]
    nucleobases: tuple[str, ...]
    longest_chain: int
    double_bonds: int
    triple_bonds: int
    charge: int
    charges: tuple[str, ...]
    counterparts: tuple[str, ...]
    metals: tuple[int, ...]
    stereo: tuple[str, ...]
    smiles: str

    @property
    def names(self) -> frozenset[str]:
        """All classes, rings and groups."""
        return frozenset([*self.frames, *self.classes, *self.groups, *self.rings, *self.ring_facts, *self.charges])


def classify(mol: Chem.Mol, with_stereo: bool = False) -> StructureClasses:
    """Classify a sanitised molecule, with or without explicit hydrogens.

    Args:
        mol: the molecule.
        with_stereo: whether to count stereocentres and double bonds of known configuration.
    """
    stereo = tuple(_list_stereo(mol)) if with_stereo else ()
    mol, smiles = _rewrite(mol)
    main, counterparts = take_main_part(mol)
    graph = MolecularGraph.from_mol(main)
    systems = find_ring_systems(main, graph)
    counts = Counter(graph.elements)
    elements = frozenset(counts)
    groups = count_groups(main, elements)
    sugars = find_sugars(graph, systems)
    names = {system.atoms: system.name for system in systems if system.name}
    names |= {sugar.system.atoms: sugar.kind for sugar in sugars}
    nucleosides = name_nucleosides(graph, sugars, systems)
    frames = find_frames(main, graph, groups)
    bases = tuple(name for name in frames if name in NUCLEOBASES)
    peptide = find_peptide(main, graph) if groups.keys() & {"amide group"} else None
    num_acids = groups.get("carboxy group", 0) + groups.get("carboxylate group", 0)
    amino_acid = find_amino_acid(main, graph) if num_acids or "ester group" in groups else None
    lipid = find_lipid(main, graph, num_acids)
    frames = [name for name in frames if name not in NUCLEOBASES]
    frames = [*nucleosides, *frames, *([peptide.name] if peptide else []), *lipid.names]
    frames += name_saccharides(graph, sugars) if sugars else name_open_sugar(graph, groups)
    found = find_classes(main, elements, groups)
    unsaturated = Counter(
        order for one, other, order in graph.bonds if graph.elements[one] == graph.elements[other] == CARBON
    )
    rings = Counter(names.values())
    rings.update(part for system in systems for part in system.parts)
    classes = name_classes(graph, found, groups, unsaturated, bool(peptide), systems)
    return StructureClasses(
        elements={element: number for element, number in sorted(counts.items()) if element not in (0, 1, CARBON)},
        has_carbon=CARBON in counts,
        has_hydrogen=any(graph.hydrogens) or 1 in counts,
        num_heavy=len(graph.elements),
        frames=tuple(dict.fromkeys(frames)),
        classes=tuple(classes),
        groups=groups,
        rings=dict(sorted(rings.items(), key=lambda ring: (ring[0] == "benzene", -ring[1], ring[0]))),
        whole_rings=frozenset(names.values()),
        ring_facts=tuple(_list_ring_facts(graph, systems)),
        num_rings=sum(system.num_rings for system in systems),
        num_aromatic_rings=sum(
            all(graph.are_aromatic[atom] for atom in ring) for system in systems for ring in system.rings
        ),
        decorated=tuple(decorate(graph, systems, names)),
        joints=tuple(find_joints(graph, names)),
        residues=peptide.residues if peptide else (),
        amino_acid=amino_acid,
        acyl_chains=lipid.chains,
        nucleobases=bases,
        longest_chain=find_longest_chain(graph),
        double_bonds=unsaturated[2.0],
        triple_bonds=unsaturated[3.0],
        charge=sum(graph.charges),
        charges=tuple(name_charges(graph, groups)),
        counterparts=counterparts,
        metals=tuple(sorted({a.GetAtomicNum() for a in mol.GetAtoms() if is_metal(a.GetAtomicNum())})),
        stereo=stereo,
        smiles=smiles,
    )


def _rewrite(mol: Chem.Mol) -> tuple[Chem.Mol, str]:
    """Return the molecule without stereo, isotopes and explicit hydrogens, in canonical atom order, and its SMILES."""
    smiles = Chem.MolToSmiles(Chem.RemoveHs(mol, sanitize=False), isomericSmiles=False)
    with BlockLogs():
        rewritten = Chem.MolFromSmiles(smiles)
    return (mol, smiles) if rewritten is None else (rewritten, smiles)


def _list_ring_facts(graph: MolecularGraph, systems: Sequence[RingSystem]) -> list[str]:
    if not systems:
        return ["acyclic compound"]
    facts = []
    largest = max(system.num_rings for system in systems)
    for system in systems:
        if system.num_rings == largest and largest > 1 and not system.is_macrocyclic:
            kind = "organic hetero" if system.is_heterocyclic else "carbo"
            facts.append(f"{kind}{POLYCYCLES.get(largest, 'poly')}cyclic compound")
    facts = sorted(set(facts))
    facts += ["macrocycle"] if any(system.is_macrocyclic for system in systems) else []
    facts += ["bridged compound"] if any(map(_is_bridged, systems)) else []
    owners = Counter(atom for system in systems for atom in system.atoms)
    facts += ["spiro compound"] if any(number > 1 for number in owners.values()) else []
    owner = {atom: place for place, system in enumerate(systems) for atom in system.atoms}
    joined = [
        (one, other)
        for one, other, _ in graph.bonds
        if one in owner and other in owner and not graph.is_ring_bond(one, other)
    ]
    facts += ["ring assembly"] if joined else []
    facts += ["biaryl"] if any(graph.are_aromatic[one] and graph.are_aromatic[other] for one, other in joined) else []
    aromatic = [system for system in systems if any(graph.are_aromatic[atom] for atom in system.atoms)]
    facts += ["aromatic compound"] if aromatic else ["alicyclic compound"] if _are_carbocycles(systems) else []
    hetero = any(
        all(graph.are_aromatic[atom] for atom in ring) and any(graph.elements[atom] != CARBON for atom in ring)
        for system in systems
        for ring in system.rings
    )
    facts += ["heteroarene"] if hetero else []
    in_rings = frozenset().union(*(system.elements for system in systems))
    facts += ["organic heterocyclic compound"] if in_rings != {CARBON} else []
    facts += ["organonitrogen heterocyclic compound"] if 7 in in_rings else []
    facts += ["oxacycle"] if 8 in in_rings else []
    facts += ["organosulfur heterocyclic compound"] if 16 in in_rings else []
    return facts


def _are_carbocycles(systems: Sequence[RingSystem]) -> bool:
    return not any(system.is_heterocyclic for system in systems)


def _is_bridged(system: RingSystem) -> bool:
    """Return whether two rings of the system share more than two atoms."""
    rings = [set(ring) for ring in system.rings]
    return any(len(one & other) > 2 for place, one in enumerate(rings) for other in rings[:place])


def _list_stereo(mol: Chem.Mol) -> list[str]:
    """Count the stereocentres and double bonds of known configuration."""
    mol = Chem.Mol(mol)
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    centres = Counter(atom.GetPropsAsDict().get("_CIPCode") for atom in mol.GetAtoms() if atom.HasProp("_CIPCode"))
    bonds = Counter(str(bond.GetStereo()) for bond in mol.GetBonds())
    facts = [f"{number} {code}" for code, number in sorted(centres.items())]
    facts += [f"{number} {name}" for code, name in (("STEREOE", "E"), ("STEREOZ", "Z")) if (number := bonds[code])]
    return facts
