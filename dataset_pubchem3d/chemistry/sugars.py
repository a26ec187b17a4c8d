"""Find sugar rings and the groups they are bound to, and name saccharides and nucleosides."""

from collections.abc import Sequence
from dataclasses import dataclass

from .molecular_graph import MolecularGraph
from .ring_names import RingSystem

CARBON, NITROGEN, OXYGEN, PHOSPHORUS, SULFUR = 6, 7, 8, 15, 16
SACCHARIDES = {2: "disaccharide", 3: "trisaccharide", 4: "tetrasaccharide"}
NUCLEOBASES = {"purine": "purine", "pyrimidine": "pyrimidine", "pyrimidone": "pyrimidine"}
LARGEST_UNIT = 9  # carbons, as in sialic acids


@dataclass(frozen=True, slots=True)
class Sugar:
    """A sugar ring.

    Attributes:
        kind: "pyranose" or "furanose".
        system: the ring.
        carbons: carbons in the ring and its side chains.
        link: heteroatom at the anomeric carbon; None in a C-glycosyl compound.
        has_amino, has_carboxy, is_deoxy: features of an amino sugar, a uronic acid and a deoxy sugar.
    """

    kind: str
    system: RingSystem
    carbons: tuple[int, ...]
    link: int | None
    has_amino: bool
    has_carboxy: bool
    is_deoxy: bool


def find_sugars(graph: MolecularGraph, systems: Sequence[RingSystem]) -> list[Sugar]:
    """Find sugar rings: saturated, with five or six members and one oxygen, and with hydroxy or similar groups."""
    return [sugar for system in systems if (sugar := _read_sugar(graph, system)) is not None]


def _read_sugar(graph: MolecularGraph, system: RingSystem) -> Sugar | None:
    ring = system.rings[0]
    if len(system.rings) > 1 or len(ring) not in (5, 6) or system.elements != {CARBON, OXYGEN} or system.is_aromatic:
        return None
    oxygens = [place for place, atom in enumerate(ring) if graph.elements[atom] == OXYGEN]
    if len(oxygens) != 1 or any(order != 1 for atom in ring for _, order in graph.neighbours[atom]):
        return None
    first, *middle, last = [*ring[oxygens[0] + 1 :], *ring[: oxygens[0]]]
    outside = {
        atom: [other for other, _ in graph.neighbours[atom] if other not in system.atoms]
        for atom in (first, *middle, last)
    }
    hetero = {
        atom: [o for o in others if graph.elements[o] in (NITROGEN, OXYGEN, SULFUR)] for atom, others in outside.items()
    }
    carbon = {atom: [o for o in others if graph.elements[o] == CARBON] for atom, others in outside.items()}
    if hetero[last] and not hetero[first]:
        first, last, middle = last, first, middle[::-1]
    if hetero[last] or len(hetero[first]) > 1:
        return None
    num_substituted = sum(bool(hetero[atom]) for atom in middle)
    link = next(iter(hetero[first]), None)
    is_of_nitrogen = link is not None and graph.elements[link] == NITROGEN
    if link is None and (len(ring) == 5 or num_substituted < 3 or not (carbon[first] and carbon[last])):
        return None
    if num_substituted < 2 and not (is_of_nitrogen and len(ring) == 5 and num_substituted == 1 and carbon[last]):
        return None
    if link is None and not _bears_oxygen(graph, carbon[last]):  # this end leads to the rest of the molecule
        last = first
    side = _walk_side_chain(graph, carbon[last], last)
    if link is not None and not is_of_nitrogen:
        side += _walk_side_chain(graph, carbon[first], first)
    carbons = (*(atom for atom in ring if graph.elements[atom] == CARBON), *side)
    tail = carbon[last] if len(carbon[last]) == 1 else []
    oxygens_of_tail = [graph.elements[o] for atom in tail for o, _ in graph.neighbours[atom]].count(OXYGEN)
    return Sugar(
        kind="pyranose" if len(ring) == 6 else "furanose",
        system=system,
        carbons=carbons,
        link=link,
        has_amino=any(graph.elements[o] == NITROGEN for atom in middle for o in hetero[atom]),
        has_carboxy=oxygens_of_tail == 2,
        is_deoxy=num_substituted < len(middle) or (bool(tail) and oxygens_of_tail == 0),
    )


def _bears_oxygen(graph: MolecularGraph, atoms: list[int]) -> bool:
    return any(graph.elements[o] == OXYGEN for atom in atoms for o, _ in graph.neighbours[atom])


def _walk_side_chain(graph: MolecularGraph, starts: list[int], last: int) -> tuple[int, ...]:
    """Return the carbons of a side chain in order, as long as they carry oxygen or nitrogen, or end the chain."""
    chain, before = [], last
    todo = starts
    while len(todo) == 1 and len(chain) < LARGEST_UNIT - 5 and not graph.in_ring[todo[0]]:
        atom = todo[0]
        chain.append(atom)
        todo = [o for o, _ in graph.neighbours[atom] if o != before and graph.elements[o] == CARBON]
        before = atom
        if not any(graph.elements[o] in (OXYGEN, NITROGEN) for o, _ in graph.neighbours[atom]):
            break
    return tuple(chain)


def name_saccharides(graph: MolecularGraph, sugars: Sequence[Sugar]) -> list[str]:
    """Return the classes of a molecule with sugars, the most specific first."""
    owner = {atom: place for place, sugar in enumerate(sugars) for atom in sugar.carbons}
    clusters = [{place} for place in range(len(sugars))]
    kinds = set()
    for place, sugar in enumerate(sugars):
        if sugar.link is None:
            kinds.add("C-glycosyl compound")
            continue
        element = graph.elements[sugar.link]
        beyond = [o for o, _ in graph.neighbours[sugar.link] if o not in sugar.system.atoms]
        others = {owner[o] for o in beyond if owner.get(o, place) != place}
        for other in others:
            _join(clusters, place, other)
        if element == NITROGEN and beyond:
            kinds.add("N-glycosyl compound")
        elif element == SULFUR and beyond:
            kinds.add("thioglycoside")
        elif beyond and not others and all(_is_aglycone(graph, o) for o in beyond):
            kinds.add("glycoside")
    size = max(len(cluster) for cluster in clusters)
    name = SACCHARIDES.get(size, "oligosaccharide") if size > 1 else "monosaccharide"
    covered = {atom for sugar in sugars for atom in (*sugar.carbons, *sugar.system.atoms)}
    rest = [
        atom
        for atom in range(len(graph.elements))
        if atom not in covered
        and not (graph.elements[atom] in (OXYGEN, NITROGEN) and all(o in covered for o, _ in graph.neighbours[atom]))
    ]
    is_pure = not rest and not kinds and not any(graph.charges)
    names = [*sorted(kinds), name if is_pure else f"{name} derivative"]
    names += ["amino sugar"] if any(sugar.has_amino for sugar in sugars) else []
    names += ["uronic acid derivative"] if any(sugar.has_carboxy for sugar in sugars) else []
    names += ["deoxy sugar"] if any(sugar.is_deoxy for sugar in sugars) else []
    return names


def _join(clusters: list[set[int]], one: int, other: int) -> None:
    joined = [cluster for cluster in clusters if one in cluster or other in cluster]
    clusters[:] = [*(cluster for cluster in clusters if cluster not in joined), set().union(*joined)]


def _is_aglycone(graph: MolecularGraph, atom: int) -> bool:
    """Return whether an atom at a glycosidic oxygen is a carbon outside acyl groups."""
    return graph.elements[atom] == CARBON and not any(
        order == 2 and graph.elements[o] == OXYGEN for o, order in graph.neighbours[atom]
    )


def name_nucleosides(graph: MolecularGraph, sugars: Sequence[Sugar], systems: Sequence[RingSystem]) -> list[str]:
    """Name nucleosides and nucleotides: furanoses bound to an aromatic nitrogen of a nucleobase."""
    names = []
    for sugar in sugars:
        if sugar.kind != "furanose" or sugar.link is None or not graph.are_aromatic[sugar.link]:
            continue
        base = next((system for system in systems if sugar.link in system.atoms), None)
        base_name = NUCLEOBASES.get(base.name) if base is not None else None
        if base_name is None:
            continue
        kind = "nucleotide" if _has_phosphate(graph, sugar) else "nucleoside"
        names += [f"{base_name} {kind}", kind]
    return sorted(set(names), key=lambda name: (-len(name), name))


def _has_phosphate(graph: MolecularGraph, sugar: Sugar) -> bool:
    oxygens = {o for atom in sugar.carbons for o, _ in graph.neighbours[atom] if graph.elements[o] == OXYGEN}
    return any(graph.elements[o] == PHOSPHORUS for oxygen in oxygens for o, _ in graph.neighbours[oxygen])
