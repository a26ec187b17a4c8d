"""Find and name the ring systems of a molecule. Rings that share bonds form one system.

A name is looked up by the atoms and bonds of the whole system. Substituents do not matter, except doubly bonded oxygen,
which turns pyridines into pyridones. If a fused system has no name, its aromatic parts are named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from rdkit import Chem

from .molecular_graph import MolecularGraph

MACROCYCLE = 12  # minimum ring size of a macrocycle
MOST_RINGS = 6  # maximum number of aromatic rings for which fused parts are named
WHOLE_NAMES = """
c1ccccc1 benzene; c1ccncc1 pyridine; c1cncnc1 pyrimidine; c1cnccn1 pyrazine; c1ccnnc1 pyridazine
c1cc[nH]c1 pyrrole; c1ccoc1 furan; c1ccsc1 thiophene; c1c[nH]cn1 imidazole; c1cn[nH]c1 pyrazole; c1cocn1 1,3-oxazole
c1cscn1 1,3-thiazole; c1cnoc1 isoxazole; c1cnsc1 isothiazole; c1c[nH]nn1 1,2,3-triazole; c1nc[nH]n1 1,2,4-triazole
c1nnn[nH]1 tetrazole; c1nnco1 1,3,4-oxadiazole; c1ncon1 1,2,4-oxadiazole; c1conn1 1,2,3-oxadiazole
c1cnon1 1,2,5-oxadiazole; c1nncs1 1,3,4-thiadiazole; c1ncsn1 1,2,4-thiadiazole; c1csnn1 1,2,3-thiadiazole
c1cnsn1 1,2,5-thiadiazole; c1cc[se]c1 selenophene; c1cc[o+]cc1 pyrylium
C1CC1 cyclopropane; C1CCC1 cyclobutane; C1CCCC1 cyclopentane; C1CCCCC1 cyclohexane; C1CCCCCC1 cycloheptane
C1CCCCCCC1 cyclooctane; C1=CCCC1 cyclopentene; C1=CCCCC1 cyclohexene; C1=CCCCCC1 cycloheptene
C1=CCC=CC1 cyclohexadiene; C1=CCCC=C1 cyclohexadiene; C1=CC=CC1 cyclopentadiene; C1=CCC1 cyclobutene
C1CN1 aziridine; C1CO1 oxirane; C1CS1 thiirane; C1CNC1 azetidine; C1COC1 oxetane; C1CSC1 thietane
C1CCNC1 pyrrolidine; C1CCOC1 oxolane; C1CCSC1 thiolane; C1CNCN1 imidazolidine; C1COCN1 oxazolidine
C1CSCN1 thiazolidine; C1COCO1 1,3-dioxolane; C1CSCS1 1,3-dithiolane; C1CNNC1 pyrazolidine; C1CONC1 isoxazolidine
C1CCNCC1 piperidine; C1CCOCC1 oxane; C1CCSCC1 thiane; C1CNCCN1 piperazine; C1COCCN1 morpholine
C1CSCCN1 thiomorpholine; C1COCCO1 1,4-dioxane; C1COCOC1 1,3-dioxane; C1CSCSC1 1,3-dithiane; C1CCNCCC1 azepane
C1CCOCCC1 oxepane; C1=CCNC1 pyrroline; C1=NCCC1 pyrroline; C1=CCOC1 dihydrofuran; C1=COCC1 dihydrofuran
C1=CCOCC1 dihydropyran; C1=COCCC1 dihydropyran; C1=CCC=CO1 pyran; C1=CC=COC1 pyran
C1=NCCN1 imidazoline; C1=NNCC1 pyrazoline; C1=NCCO1 oxazoline; C1=NCCS1 thiazoline; C1=NOCC1 isoxazoline
C1=CCNCC1 tetrahydropyridine; C1=CNCCC1 tetrahydropyridine
c1ccc2ccccc2c1 naphthalene; c1ccc2cccc-2cc1 azulene; C1=Cc2ccccc2C1 indene; c1ccc2c(c1)CCC2 indane
c1ccc2c(c1)CCCC2 tetralin; C1CCC2CCCCC2C1 decalin; C1CCC2CCCC2C1 hydrindane; c1ccc2c(c1)C=CCC2 dihydronaphthalene
c1ccc2ncccc2c1 quinoline; c1ccc2cnccc2c1 isoquinoline; c1ccc2ncncc2c1 quinazoline; c1ccc2nccnc2c1 quinoxaline
c1ccc2nnccc2c1 cinnoline; c1ccc2cnncc2c1 phthalazine; c1cnc2ncccc2c1 1,8-naphthyridine
c1cnc2cccnc2c1 1,5-naphthyridine; c1cnc2ccncc2c1 1,6-naphthyridine; c1cnc2cnccc2c1 1,7-naphthyridine
c1cnc2ncncc2n1 pteridine; c1cnc2ncncc2c1 pyridopyrimidine; c1ncc2[nH]cnc2n1 purine
c1ccc2[nH]ccc2c1 indole; c1ccc2c[nH]cc2c1 isoindole; c1ccc2[nH]ncc2c1 indazole; c1ccc2[nH]cnc2c1 benzimidazole
c1ccc2[nH]nnc2c1 benzotriazole; c1ccc2occc2c1 1-benzofuran; c1ccc2cocc2c1 2-benzofuran
c1ccc2sccc2c1 1-benzothiophene; c1ccc2ocnc2c1 1,3-benzoxazole; c1ccc2oncc2c1 1,2-benzoxazole
c1ccc2scnc2c1 1,3-benzothiazole; c1ccc2sncc2c1 1,2-benzothiazole; c1ccc2nsnc2c1 2,1,3-benzothiadiazole
c1ccc2nonc2c1 benzofurazan; c1ccc2[o+]cccc2c1 chromenylium; c1ccc2c[o+]ccc2c1 isochromenylium
c1ccn2ccnc2c1 imidazo[1,2-a]pyridine; c1ccn2cncc2c1 imidazo[1,5-a]pyridine; c1ccn2cccc2c1 indolizine
c1ccn2nccc2c1 pyrazolo[1,5-a]pyridine; c1cnc2ccnn2c1 pyrazolo[1,5-a]pyrimidine
c1cnc2nccn2c1 imidazo[1,2-a]pyrimidine; c1ccc2ncnn2c1 [1,2,4]triazolo[1,5-a]pyridine
c1ccc2nncn2c1 [1,2,4]triazolo[4,3-a]pyridine; c1cnc2ncnn2c1 [1,2,4]triazolo[1,5-a]pyrimidine
c1cnc2[nH]ccc2c1 pyrrolo[2,3-b]pyridine; c1cc2cc[nH]c2cn1 pyrrolo[2,3-c]pyridine
c1cc2[nH]ccc2cn1 pyrrolo[3,2-c]pyridine; c1cnc2cc[nH]c2c1 pyrrolo[3,2-b]pyridine
c1ncc2cc[nH]c2n1 pyrrolo[2,3-d]pyrimidine; c1ncc2[nH]ccc2n1 pyrrolo[3,2-d]pyrimidine
c1ncc2cn[nH]c2n1 pyrazolo[3,4-d]pyrimidine; c1ncc2[nH]ncc2n1 pyrazolo[4,3-d]pyrimidine
c1cnc2[nH]ncc2c1 pyrazolo[3,4-b]pyridine; c1cnc2[nH]cnc2c1 imidazo[4,5-b]pyridine
c1cc2[nH]cnc2cn1 imidazo[4,5-c]pyridine; c1ncc2ccsc2n1 thieno[2,3-d]pyrimidine; c1ncc2sccc2n1 thieno[3,2-d]pyrimidine
c1cnc2sccc2c1 thieno[2,3-b]pyridine; c1cc2sccc2cn1 thieno[3,2-c]pyridine; c1cn2ccsc2n1 imidazo[2,1-b][1,3]thiazole
c1ccc2c(c1)CCN2 indoline; c1ccc2c(c1)CNC2 isoindoline
c1ccc2c(c1)CCO2 2,3-dihydro-1-benzofuran; c1ccc2c(c1)COC2 1,3-dihydro-2-benzofuran; c1ccc2c(c1)OCO2 1,3-benzodioxole
c1ccc2c(c1)OCCO2 1,4-benzodioxane; c1ccc2c(c1)CCCO2 chromane; c1ccc2c(c1)C=CCO2 chromene; c1ccc2c(c1)CC=CO2 chromene
c1ccc2c(c1)CCOC2 isochromane; c1ccc2c(c1)CCCN2 tetrahydroquinoline; c1ccc2c(c1)CCNC2 tetrahydroisoquinoline
c1ccc2c(c1)NCCO2 benzomorpholine; c1ccc2c(c1)NCCS2 1,4-benzothiazine; c1ccc2c(c1)NCCN2 tetrahydroquinoxaline
C1CN2CCC1CC2 quinuclidine; C1CC2CCC1C2 norbornane; C1=CC2CCC1C2 norbornene
C1CC2CCCN2C1 pyrrolizidine; C1CCN2CCCC2C1 indolizidine; C1CCN2CCCCC2C1 quinolizidine; C1CCC2NCCCC2C1 decahydroquinoline
c1ccc2cc3ccccc3cc2c1 anthracene; c1ccc2c(c1)ccc1ccccc12 phenanthrene; c1ccc2c(c1)Cc1ccccc1-2 fluorene
c1ccc2c(c1)[nH]c1ccccc12 carbazole; c1ccc2nc3ccccc3cc2c1 acridine; c1ccc2nc3ccccc3nc2c1 phenazine
c1ccc2c(c1)Nc1ccccc1S2 phenothiazine; c1ccc2c(c1)Nc1ccccc1O2 phenoxazine; c1ccc2c(c1)Cc1ccccc1O2 xanthene
c1ccc2c(c1)Cc1ccccc1S2 thioxanthene; c1ccc2c(c1)Cc1ccccc1N2 9,10-dihydroacridine
c1ccc2c(c1)[nH]c1cnccc12 beta-carboline; c1ccc2c3c([nH]c2c1)CNCC3 tetrahydro-beta-carboline
c1ccc2c(c1)[nH]c1ncccc12 alpha-carboline
c1ccc2c(c1)CCc1ccccc1N2 dibenzo[b,f]azepine; C1=Cc2ccccc2Nc2ccccc21 dibenzo[b,f]azepine
c1ccc2c(c1)CCc1ccccc1C2 dibenzo[a,d]cycloheptene; C1=Cc2ccccc2Cc2ccccc21 dibenzo[a,d]cycloheptene
c1ccc2c(c1)sc1ccccc12 dibenzothiophene; C1C2CC3CC1CC(C2)C3 adamantane; c1cc2ccc3cccc4ccc(c1)c2c34 pyrene
c1ccc2c(c1)CCC1CCCCC12 octahydrophenanthrene; c1ccc2c(c1)ccc1c2ccc2ccccc21 chrysene; C1=Cc2cccc3cccc1c23 acenaphthylene
c1cc2c3c(cccc3c1)CC2 acenaphthene; c1ccc2c(c1)oc1ncccc12 benzofuropyridine
C1CC2CCC1O2 7-oxabicyclo[2.2.1]heptane; c1ccc2c(c1)[nH]c1ccncc12 gamma-carboline
"""
OXO_NAMES = """
O=C1CCCN1 pyrrolidin-2-one; O=C1CCC(=O)N1 pyrrolidine-2,5-dione; O=C1CCCCN1 piperidin-2-one
O=C1CCNCC1 piperidin-4-one; O=C1CCCC(=O)N1 piperidine-2,6-dione
O=C1CNC(=O)N1 imidazolidine-2,4-dione; O=C1NCCN1 imidazolidin-2-one; O=C1CSC(=O)N1 1,3-thiazolidine-2,4-dione
O=C1CSCN1 1,3-thiazolidin-4-one; O=C1NCCO1 1,3-oxazolidin-2-one; O=C1CCC1 cyclobutanone
O=C1CCCC1 cyclopentanone; O=C1CCCCC1 cyclohexanone; O=C1C=CCCC1 cyclohexenone; O=C1C=CCC1 cyclopentenone
O=C1C=CC(=O)C=C1 1,4-benzoquinone; O=C1C=CC=CC1=O 1,2-benzoquinone; O=C1CCCO1 oxolan-2-one; O=C1C=CCO1 2-furanone
O=C1CCCCO1 oxan-2-one; O=C1C=CC(=O)N1 pyrrole-2,5-dione; O=C1C=CC(=O)O1 furan-2,5-dione; O=C1CNCCN1 piperazin-2-one
O=C1CNC(=O)CN1 piperazine-2,5-dione; O=C1CCN1 azetidin-2-one; O=C1CCO1 oxetan-2-one
O=c1ccoc2ccccc12 chromone; O=c1ccc2ccccc2o1 coumarin; O=c1occc2ccccc12 isocoumarin; O=C1CCOc2ccccc21 chroman-4-one
O=C1CCc2ccccc2O1 3,4-dihydrocoumarin; O=C1Cc2ccccc2N1 oxindole; O=C1Nc2ccccc2C1=O isatin
O=C1NC(=O)c2ccccc21 isoindole-1,3-dione; O=C1NCc2ccccc21 isoindolin-1-one; O=C1OCc2ccccc21 2-benzofuran-1-one
O=C1C=CC(=O)c2ccccc21 1,4-naphthoquinone; O=C1C=Cc2ccccc2C1=O 1,2-naphthoquinone; O=C1CCc2ccccc21 indan-1-one
O=C1CCCc2ccccc21 tetralone; O=C1CC(=O)c2ccccc21 indane-1,3-dione; O=c1c2ccccc2oc2ccccc12 xanthone
O=c1c2ccccc2[nH]c2ccccc12 acridone; O=c1c2ccccc2sc2ccccc12 thioxanthone; O=C1c2ccccc2-c2ccccc21 fluorenone
O=C1COc2ccccc2N1 1,4-benzoxazin-3-one; O=c1[nH]c2ccccc2o1 benzoxazol-2-one; O=c1[nH]c2ccccc2[nH]1 benzimidazol-2-one
O=c1ccc2ccc3occc3c2o1 furanocoumarin; O=c1ccc2cc3ccoc3cc2o1 furanocoumarin
"""
WITH_OXO = {  # name of a ring with oxo groups at any positions
    "pyridine": "pyridone",
    "pyrimidine": "pyrimidone",
    "pyridazine": "pyridazinone",
    "pyrazine": "pyrazinone",
    "quinazoline": "quinazolinone",
    "pyrylium": "pyranone",
    "chromenylium": None,
    "isochromenylium": None,
}
# Systems that are left unnamed, as are their parts: they are held out for a test of generalisation.
SILENT = """
c1ncncn1; c1cnnnc1; c1cnncn1; c1ccc2c(c1)oc1ccccc12; c1ccc2c(c1)Oc1ccccc1O2; C1=COC=CO1; C1CC2CCC(C1)N2
C1=CNC=CC1; C1=CC=CNC1; C1CNCCNC1; C1CCNNCC1; C1CCNCNC1; C1CC2SCCN12; C1CC2SCC=CN12; C1=CSC2CCN12
O=C1CC(=O)NC(=O)N1; O=C1c2ccccc2C(=O)c2ccccc21; c1ccc2c(c1)Cc1ccccc1C2; c1ccc2nncnc2c1; c1ccc2nnnc-2cc1
c1ccc2c(c1)C=NCCN2; c1ccc2c(c1)CNCCN2; c1ccc2c(c1)CCNCN2; c1ccc2c(c1)NCCCN2; c1ccc2c(c1)N=CCCN2
c1ccc2c(c1)C=NNC=C2; c1ccc2c(c1)CNNCC2; c1nncc2cccn12
"""


Ring = tuple[tuple[int, ...], frozenset[int]]  # atoms in ring order, and bonds


@dataclass(frozen=True, slots=True)
class RingSystem:
    """Rings that share bonds.

    Attributes:
        atoms: indices of the atoms in the molecule.
        rings: atoms of each ring, in ring order.
        num_rings: number of bonds to cut until no ring is left.
        name: name of the whole system; None if it has no name.
        parts: names of parts of a system without a name, with repetitions.
        is_aromatic: whether all rings are aromatic.
        elements: atomic numbers in the rings.
    """

    atoms: frozenset[int]
    rings: tuple[tuple[int, ...], ...]
    num_rings: int
    name: str | None
    parts: tuple[str, ...]
    is_aromatic: bool
    elements: frozenset[int]

    @property
    def is_macrocyclic(self) -> bool:
        """Whether one of the rings is a macrocycle."""
        return any(len(ring) >= MACROCYCLE for ring in self.rings)

    @property
    def is_heterocyclic(self) -> bool:
        """Whether the rings have an element other than carbon."""
        return self.elements != {6}


def find_ring_systems(mol: Chem.Mol, graph: MolecularGraph) -> list[RingSystem]:
    """Return all ring systems, in arbitrary order."""
    info = mol.GetRingInfo()
    rings = list(zip(info.AtomRings(), map(frozenset, info.BondRings())))
    return [_describe(graph, [rings[place] for place in places]) for places in fuse([bonds for _, bonds in rings])]


def fuse(rings: Sequence[frozenset[int]]) -> list[list[int]]:
    """Group sets that are connected, directly or through other sets, by common members; return their indices."""
    systems: list[tuple[frozenset[int], list[int]]] = []
    for place, members in enumerate(rings):
        joined = [system for system in systems if not members.isdisjoint(system[0])]
        apart = [system for system in systems if members.isdisjoint(system[0])]
        places = [place for _, places in joined for place in places]
        systems = [*apart, (members.union(*(system[0] for system in joined)), [*places, place])]
    return [places for _, places in systems]


def _describe(graph: MolecularGraph, rings: list[Ring]) -> RingSystem:
    atoms = frozenset(atom for ring, _ in rings for atom in ring)
    bonds = frozenset(bond for _, ring in rings for bond in ring)
    aromatic = [ring for ring in rings if all(graph.are_aromatic[atom] for atom in ring[0])]
    is_known, name = _find_name(graph, atoms, bonds)
    parts = () if name is not None else _name_parts(graph, aromatic, largest=1 if is_known else 3)
    return RingSystem(
        atoms=atoms,
        rings=tuple(ring for ring, _ in rings),
        num_rings=len(bonds) - len(atoms) + 1,
        name=name,
        parts=parts,
        is_aromatic=len(aromatic) == len(rings),
        elements=frozenset(graph.elements[atom] for atom in atoms),
    )


def _name_parts(graph: MolecularGraph, rings: list[Ring], largest: int) -> tuple[str, ...]:
    """Return the names of disjoint aromatic parts, choosing the largest parts first."""
    found = []
    for places in _list_connected(rings, largest):
        atoms = frozenset(atom for place in places for atom in rings[place][0])
        bonds = frozenset(bond for place in places for bond in rings[place][1])
        _, name = _find_name(graph, atoms, bonds)
        if name is not None and (largest > 1 or name == "benzene"):
            found.append((-len(places), name, places))
    found.sort(key=lambda part: part[:2])
    names, used = [], set()
    for _, name, places in found:
        if used.isdisjoint(places):
            used.update(places)
            names.append(name)
    return tuple(sorted(names))


def _list_connected(rings: list[Ring], largest: int) -> Iterator[tuple[int, ...]]:
    largest = largest if len(rings) <= MOST_RINGS else 1
    for size in range(1, largest + 1):
        for places in combinations(range(len(rings)), size):
            if size == 1 or len(fuse([rings[place][1] for place in places])) == 1:
                yield places


def _find_name(graph: MolecularGraph, atoms: frozenset[int], bonds: frozenset[int]) -> tuple[bool, str | None]:
    """Return whether the tables have the ring system, and its name; None if it is to remain unnamed."""
    by_key, sizes = _read_names()
    if (len(atoms), len(bonds)) not in sizes:
        return False, None
    oxo = [
        place
        for place, (one, other, order) in enumerate(graph.bonds)
        if order == 2 and (one in atoms) != (other in atoms) and graph.elements[other if one in atoms else one] == 8
    ]
    if oxo:
        ends = {end for place in oxo for end in graph.bonds[place][:2]}
        key = graph.make_key(atoms | ends, bonds.union(oxo))
        if key in by_key:
            return True, by_key[key]
    key = graph.make_key(atoms, bonds)
    name = by_key.get(key)
    return key in by_key, WITH_OXO.get(name, name) if oxo else name


@cache
def _read_names() -> tuple[dict[str, str | None], set[tuple[int, int]]]:
    """Return the names by the key of a system, and the numbers of atoms and bonds that occur."""
    by_key: dict[str, str | None] = {}
    sizes = set()
    for table in (WHOLE_NAMES, OXO_NAMES, SILENT):
        for entry in filter(None, (entry.strip() for entry in table.replace("\n", ";").split(";"))):
            smiles, _, name = entry.partition(" ")
            graph = MolecularGraph.from_mol(Chem.MolFromSmiles(smiles))
            by_key[graph.make_key(range(len(graph.elements)), range(len(graph.bonds)))] = name or None
            sizes.add((sum(graph.in_ring), len(graph.ring_bonds)))
    return by_key, sizes
