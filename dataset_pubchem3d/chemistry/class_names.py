"""Name the classes that a molecule belongs to by its groups and elements, in order of importance."""

from collections import Counter
from collections.abc import Sequence

from .lipids import find_longest_chain
from .molecular_graph import MolecularGraph
from .ring_names import RingSystem
from .salts import is_metal

CARBON = 6
ORGANO = {9: "organofluorine", 17: "organochlorine", 35: "organobromine", 53: "organoiodine", 16: "organosulfur"}
ORGANO |= {15: "organophosphorus", 14: "organosilicon", 5: "organoboron", 34: "organoselenium", 33: "organoarsenic"}
HALOGENS = {9: "fluoro", 17: "chloro", 35: "bromo", 53: "iodo"}
NUMBERS = ("", "mono", "di", "tri", "tetra", "penta", "hexa")
IMPLIED = {  # broader classes to omit next to a class that implies them
    "gamma-lactone": ("lactone",),
    "delta-lactone": ("lactone",),
    "beta-lactone": ("lactone",),
    "beta-lactam": ("lactam",),
    "N-acylglycine": ("N-acyl-amino acid",),
    "terminal acetylenic compound": ("acetylenic compound",),
    "diaryl ether": ("aromatic ether", "ether"),
    "catechols": ("phenols",),
    "resorcinols": ("phenols",),
    "hydroquinones": ("phenols",),
    "phloroglucinols": ("phenols", "resorcinols"),
    "hydroxybenzoic acid": ("benzoic acids",),
    "methoxybenzoic acid": ("benzoic acids",),
    "benzonitriles": ("nitrile",),
    "aliphatic nitrile": ("nitrile",),
    "nitrophenol": ("nitrobenzenes",),
    "primary arylamine": ("aromatic amine", "primary amino compound"),
    "primary amine": ("primary amino compound",),
    "secondary amine": ("secondary amino compound",),
    "tertiary amine": ("tertiary amino compound",),
    "phosphate monoester": ("organic phosphate",),
    "phosphate diester": ("organic phosphate",),
    "phosphate triester": ("organic phosphate",),
    "aromatic ether": ("ether",),
    "aliphatic ether": ("ether",),
    "cyclic ether": ("ether",),
    "enone": ("ketone",),
    "aromatic ketone": ("ketone",),
    "methyl ketone": ("ketone",),
    "cyclic ketone": ("ketone",),
    "acetate ester": ("carboxylic ester",),
    "methyl ester": ("carboxylic ester",),
    "ethyl ester": ("carboxylic ester",),
    "benzoate ester": ("carboxylic ester",),
    "enoate ester": ("carboxylic ester",),
    "arenesulfonic acid": ("sulfonic acid",),
    "aryl sulfate": ("sulfuric ester",),
    "alkyl sulfate": ("sulfuric ester",),
    "benzenesulfonamides": ("sulfonamide",),
    "aryl sulfide": ("organic sulfide",),
    "aliphatic sulfide": ("organic sulfide",),
}
FIRST = (  # SMARTS classes to list first
    *("alpha-amino acid", "benzoic acids", "hydroxybenzoic acid", "methoxybenzoic acid", "cinnamic acids"),
    *("2-hydroxy carboxylic acid", "3-hydroxy carboxylic acid", "2-oxo carboxylic acid", "pyridinemonocarboxylic acid"),
    *("lactone", "gamma-lactone", "delta-lactone", "lactam", "beta-lactam", "dicarboximide", "p-quinone", "o-quinone"),
    *("primary carboxamide", "secondary carboxamide", "tertiary carboxamide", "phenols", "catechols", "resorcinols"),
    *("primary alcohol", "secondary alcohol", "tertiary alcohol", "aromatic ether", "diaryl ether", "aromatic ketone"),
    *("cyclic ketone", "methyl ketone", "enone", "acetate ester", "methyl ester", "ethyl ester", "benzoate ester"),
    *("tertiary amine", "secondary amine", "primary amine", "primary arylamine", "substituted aniline"),
)
BY_GROUPS = {  # classes and the groups that define them
    "carboxylic ester": "ester group",
    "aldehyde": "formyl group",
    "ketone": "keto group",
    "epoxide": "epoxide group",
    "acetal": "acetal group",
    "acyclic carboxylic anhydride": "acid anhydride group",
    "carbonate ester": "carbonate ester group",
    "carbamate ester": "carbamate group",
    "ureas": "urea group",
    "hydroxamic acid": "hydroxamic acid group",
    "acylhydrazine": "acylhydrazine group",
    "primary amino compound": "primary amino group",
    "secondary amino compound": "secondary amino group",
    "tertiary amino compound": "tertiary amino group",
    "quaternary ammonium ion": "quaternary ammonium group",
    "tertiary amine oxide": "amine oxide group",
    "aromatic N-oxide": "aromatic N-oxide group",
    "carboxamidine": "amidine group",
    "imine": "imine group",
    "nitrile": "nitrile group",
    "isothiocyanate": "isothiocyanate group",
    "C-nitro compound": "nitro group",
    "nitrate ester": "nitrate ester group",
    "thiol": "thiol group",
    "organic sulfide": "sulfide group",
    "organic disulfide": "disulfide group",
    "thioester": "thioester group",
    "sulfoxide": "sulfoxide group",
    "sulfone": "sulfone group",
    "sulfonamide": "sulfonamide group",
    "sulfamide": "sulfamide group",
    "sulfonic acid": "sulfonic acid group",
    "sulfonic acid anion": "sulfonate group",
    "sulfonic acid ester": "sulfonate ester group",
    "sulfuric ester": "sulfate ester group",
    "thioamide": "thioamide group",
    "organic phosphate": "phosphate group",
    "phosphonic acid": "phosphonic acid group",
    "phosphonic ester": "phosphonate ester group",
    "phosphine": "phosphane group",
    "phosphine oxide": "phosphane oxide group",
    "boronic acid": "boronic acid group",
    "boronic ester": "boronic ester group",
    "enol": "enol group",
    "ether": "ether group",
}


def name_classes(
    graph: MolecularGraph,
    found: set[str],
    groups: dict[str, int],
    unsaturated: Counter,
    is_peptide: bool,
    systems: Sequence[RingSystem],
) -> list[str]:
    """Return all classes by groups and elements, without broader classes that are implied by narrower ones.

    Args:
        graph: the molecule.
        found: classes found by `find_classes`.
        groups: groups counted by `count_groups`.
        unsaturated: number of bonds between carbons, by bond order.
        is_peptide: whether the molecule is a peptide.
        systems: its ring systems.
    """
    elements = set(graph.elements)
    names = _name_acids(groups) + sorted(found, key=_get_rank) + _name_by_groups(groups)
    bound_to_carbon = {
        graph.elements[other]
        for atom, element in enumerate(graph.elements)
        if element == CARBON
        for other, _ in graph.neighbours[atom]
    }
    names += [f"{name} compound" for element, name in ORGANO.items() if element in bound_to_carbon]
    names += ["organometallic compound"] if any(map(is_metal, bound_to_carbon)) else []
    names += _name_halobenzenes(graph, systems)
    names += ["polyphenol"] if groups.get("phenolic hydroxy group", 0) > 1 and _is_polyphenol(graph, systems) else []
    names += ["one-carbon compound"] if graph.elements.count(CARBON) == 1 else []
    if elements == {CARBON}:
        aromatic = any(graph.are_aromatic) and all(len(system.rings) == 1 for system in systems)
        names += ["aromatic hydrocarbon"] if aromatic else ["hydrocarbon"]
    names += ["olefinic compound"] if unsaturated[2.0] else []
    names += ["acetylenic compound"] if unsaturated[3.0] else []
    if is_peptide:
        names = [name for name in names if name not in ("N-acyl-amino acid", "N-acylglycine", "amino acid amide")]
    if "biphenyls" in found and 17 in elements:  # chlorobiphenyls are held out for a test of generalisation
        names = [name for name in names if name != "biphenyls"]
    if groups.get("carboxy group", 0) > 1:
        names = [name for name in names if "monocarboxylic" not in name]
    left_out = {broader for name in names for broader in IMPLIED.get(name, ())}
    return [name for name in dict.fromkeys(names) if name not in left_out]


def _get_rank(name: str) -> tuple[int, str]:
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)


def _name_acids(groups: dict[str, int]) -> list[str]:
    acids, anions = groups.get("carboxy group", 0), groups.get("carboxylate group", 0)
    prefix = {1: "mono", 2: "di", 3: "tri", 4: "tetra"}
    names = []
    if acids and not anions:
        names.append(f"{prefix.get(acids, 'poly')}carboxylic acid")
    if anions and not acids:
        names.append(f"{prefix.get(anions, 'poly')}carboxylic acid {'anion' if anions == 1 else 'polyanion'}")
    if anions == 2 and not acids:
        names[-1] = "dicarboxylic acid dianion"
    if acids and anions:
        names.append("carboxylic acid anion")
    if acids == 1 and not anions and groups.get("hydroxy group"):
        names.append("hydroxy monocarboxylic acid")
    return names


def _name_by_groups(groups: dict[str, int]) -> list[str]:
    names = [name for name, group in BY_GROUPS.items() if group in groups]
    return names


def _is_polyphenol(graph: MolecularGraph, systems: Sequence[RingSystem]) -> bool:
    """Return whether at least two benzene rings bear hydroxy groups."""
    rings = [ring for system in systems for ring in system.rings if len(ring) == 6 and _is_arene(graph, ring)]
    with_hydroxy = [
        ring
        for ring in rings
        if any(graph.elements[o] == 8 and graph.hydrogens[o] for atom in ring for o, _ in graph.neighbours[atom])
    ]
    return len(with_hydroxy) > 1


def _is_arene(graph: MolecularGraph, ring: tuple[int, ...]) -> bool:
    return all(graph.are_aromatic[atom] and graph.elements[atom] == CARBON for atom in ring)


def _name_halobenzenes(graph: MolecularGraph, systems: Sequence[RingSystem]) -> list[str]:
    """Name halobenzenes, such as dichlorobenzenes, and methoxybenzenes, for benzene rings that are not fused."""
    names = set()
    for system in systems:
        if system.name != "benzene":
            continue
        outside = [o for atom in system.atoms for o, _ in graph.neighbours[atom] if o not in system.atoms]
        counts = Counter(graph.elements[other] for other in outside)
        for element, name in HALOGENS.items():
            if 0 < counts[element] < len(NUMBERS):
                names.add(f"{NUMBERS[counts[element]]}{name}benzenes")
        methoxy = sum(_is_methoxy(graph, other, system.atoms) for other in outside)
        if 0 < methoxy < len(NUMBERS):
            names.add(f"{NUMBERS[methoxy]}methoxybenzenes")
    return sorted(names)


def _is_methoxy(graph: MolecularGraph, atom: int, ring: frozenset[int]) -> bool:
    if graph.elements[atom] != 8:
        return False
    return any(
        o not in ring and graph.elements[o] == CARBON and graph.hydrogens[o] == 3 for o, _ in graph.neighbours[atom]
    )


def name_open_sugar(graph: MolecularGraph, groups: dict[str, int]) -> list[str]:
    """Name alditols: open chains in which every carbon has one hydroxy group."""
    if set(graph.elements) != {CARBON, 8} or any(graph.in_ring) or any(order != 1 for _, _, order in graph.bonds):
        return []
    carbons = graph.elements.count(CARBON)
    each = all(
        sum(graph.elements[o] == 8 and graph.hydrogens[o] == 1 for o, _ in graph.neighbours[atom]) == 1
        for atom, element in enumerate(graph.elements)
        if element == CARBON
    )
    is_open = each and carbons == groups.get("hydroxy group") and find_longest_chain(graph) == carbons and carbons > 2
    return ["alditol"] if is_open else []
