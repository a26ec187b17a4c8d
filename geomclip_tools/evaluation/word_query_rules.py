"""Rules that decide from the structure alone whether a molecule belongs to a class of compounds.

Structures are judged as drawn. Tautomers are not enumerated, except for azo dyes, which match in both forms. Anions of
acids, thiols and phenols match, as do cations of amines, because the names cover both. The components of a salt count
together unless a rule requires a single component. The name of a heterocycle means exactly that ring system and not a
larger fused one: a quinoline is not a pyridine.
"""

from collections import defaultdict
from collections.abc import Callable
from itertools import combinations

from rdkit import Chem

Rule = Callable[[Chem.Mol], bool]

ACID = "[$([CX3H]),$([CX3][#6])](=[OX1])[$([OX2H]),$([OX1-])]"
AMINE = "[NX3+0,NX4+;!$(N~[!#6;!#1]);!$(N~[#6]=,:[O,S,#7]);!$(N-C#N)]"  # not an amide; only C and H neighbours
NITRO = "[$([NX3+](=O)[O-])]"
PHENOL_OXYGEN = "[OX2H,OX1-]"
STEROID = (  # rings A, B, C and D with any bonds; with an aromatic ring C it would be a phenanthrene
    "[#6]1~[#6]~[#6]~[#6]~[#6]2~[#6]~1~[#6]1~[#6](~[#6]~[#6]~2)~C2~C(~[#6]~[#6]~1)~[#6]~[#6]~[#6]~2"
)
STEROID_OF_AROMATIC_RING_A = "c1ccc2c(c1)~[#6]~[#6]~[#6]1~[#6]~2~[#6]~[#6]~C2~C~1~[#6]~[#6]~[#6]~2"
PORPHYRIN = (
    "[#6]1~[#6]~[#6]2~[#7]~[#6]~1~[#6]~[#6]1~[#7]~[#6](~[#6]~[#6]~1)~[#6]~[#6]1~[#7]~[#6](~[#6]~[#6]~1)"
    "~[#6]~[#6]1~[#7]~[#6](~[#6]~[#6]~1)~[#6]~2"
)
AZO_NITROGEN = "[#7;$([#7]a),$([#7]~[#6;R]~[#6;R]=[OX1])]"  # on the half of an azo dye drawn in the azo form
AZO_AS_HYDRAZONE = ",".join(  # carbon of the other half: of a quinone, a pyrazolone or an acetoacetanilide
    f"$({carbon})"
    for carbon in (
        f"[#6]1(=N{AZO_NITROGEN})~[#6X3]~[#6X3]~[#6X3](=O)~[#6X3]~[#6X3]~1",
        f"[#6]1(=N{AZO_NITROGEN})~[#6X3]~[#6X3]~[#6X3]~[#6X3]~[#6X3]~1=O",
        "[#6;R](=N[#7]a)@[#6;R]=[OX1]",
        "[#6](=N[#7]a)([#6]~[#8])[#6]~[#8]",
    )
)
XANTHENE_DYE = (
    "[#8,#7]~[#6]1~[#6]~[#6]~[#6]2~[#6](~[#6]~1)~[#8]~[#6]1~[#6]~[#6](~[#8,#7])~[#6]~[#6]~[#6]~1~[#6]~2c1ccccc1"
)


# ----------------------------------------------------------------------------------------------------- building blocks


def has(smarts: str, at_least: int = 1, at_most: int | None = None) -> Rule:
    """Return a rule that counts the matches of a SMARTS; matches differ in at least one atom.

    Raises:
        ValueError: if RDKit cannot read the SMARTS.
    """
    pattern = Chem.MolFromSmarts(smarts)
    if pattern is None:
        raise ValueError(f"SMARTS {smarts!r} cannot be read; correct it")
    if at_least == 1 and at_most is None:
        return lambda molecule: molecule.HasSubstructMatch(pattern)

    def is_right(molecule: Chem.Mol) -> bool:
        number = len(molecule.GetSubstructMatches(pattern))
        return at_least <= number and (at_most is None or number <= at_most)

    return is_right


def all_of(*rules: Rule | str) -> Rule:
    """Return a rule that requires all rules; a SMARTS string stands for `has`."""
    made = _make_rules(rules)
    return lambda molecule: all(rule(molecule) for rule in made)


def any_of(*rules: Rule | str) -> Rule:
    """Return a rule that requires at least one of the rules; a SMARTS string stands for `has`."""
    made = _make_rules(rules)
    return lambda molecule: any(rule(molecule) for rule in made)


def none_of(*rules: Rule | str) -> Rule:
    """Return a rule that excludes all rules; a SMARTS string stands for `has`."""
    made = _make_rules(rules)
    return lambda molecule: not any(rule(molecule) for rule in made)


def _make_rules(rules: tuple[Rule | str, ...]) -> list[Rule]:
    return [has(rule) if isinstance(rule, str) else rule for rule in rules]


def has_part(*rules: Rule | str) -> Rule:
    """Return a rule that requires one component, such as one ion of a salt, to meet all rules by itself."""
    rule = all_of(*rules)
    return lambda molecule: any(map(rule, Chem.GetMolFrags(molecule, asMols=True)))


def consists_of(*symbols: str) -> Rule:
    """Return a rule that allows only these elements and hydrogen."""
    allowed = {"H", *symbols}
    return lambda molecule: all(atom.GetSymbol() in allowed for atom in molecule.GetAtoms())


def has_rings(at_least: int) -> Rule:
    """Return a rule that requires at least this many rings."""
    return lambda molecule: molecule.GetRingInfo().NumRings() >= at_least


def chain(length: int) -> str:
    """Return the SMARTS of `length` carbons at the end of an unbranched saturated chain."""
    return "[CX4H3]" + "[CX4H2;!R]" * (length - 1)


def ring_with(first: str, second: str) -> Rule:
    """Return a rule that requires a benzene ring with both substituents, in any positions."""
    return any_of(f"{first}c1c({second})cccc1", f"{first}c1cc({second})ccc1", f"{first}c1ccc({second})cc1")


has_no_ring = none_of(has_rings(1))
is_organic = has("[#6]")
is_unbranched = none_of("[#6](~[#6])(~[#6])~[#6]")


# ----------------------------------------------------------------------------------------------- rules beyond a pattern


def is_cation(molecule: Chem.Mol) -> bool:
    """Return whether the net charge is positive."""
    return Chem.GetFormalCharge(molecule) > 0


def is_spiro(molecule: Chem.Mol) -> bool:
    """Return whether removing one ring atom disconnects a ring system.

    No single atom of a bridged system does that.
    """
    ring_bonds = [bond for bond in molecule.GetBonds() if bond.IsInRing()]
    neighbours = defaultdict(set)
    for bond in ring_bonds:
        first, second = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        neighbours[first].add(second)
        neighbours[second].add(first)
    return any(_falls_apart(neighbours, centre) for centre in list(neighbours) if len(neighbours[centre]) >= 4)


def _falls_apart(neighbours: dict[int, set[int]], centre: int) -> bool:
    around = neighbours[centre]
    reached, waiting = {centre}, [next(iter(around))]
    while waiting:
        atom = waiting.pop()
        if atom not in reached:
            reached.add(atom)
            waiting += neighbours[atom] - reached
    return not around <= reached


def _make_dimethylphenol() -> Rule:
    methyl, other = "c([CX4H3])", "[c;!$(c[CX4H3])]"
    rings = [
        "".join(methyl if place in places else other for place in range(5)) for places in combinations(range(5), 2)
    ]
    return any_of(*(f"{PHENOL_OXYGEN}c1{ring}1" for ring in rings))


is_dimethylphenol = _make_dimethylphenol()
is_chloropyridine = any_of(
    "[n;R1]1[c;R1](Cl)[c;R1][c;R1][c;R1][c;R1]1",
    "[n;R1]1[c;R1][c;R1](Cl)[c;R1][c;R1][c;R1]1",
    "[n;R1]1[c;R1][c;R1][c;R1](Cl)[c;R1][c;R1]1",
)
is_fatty_acid = has_part(  # at least twelve carbons; free acid or salt
    consists_of("C", "O"), has_no_ring, is_unbranched, has("[CX4]", 11), has("[#8]", 2, 2), ACID, none_of("[#6]=,#[#6]")
)
is_fatty_alcohol = all_of(
    consists_of("C", "O"), has_no_ring, is_unbranched, has("[#6]", 8), has("[#8]", 1, 1), "[CX4H2][OX2H]"
)
is_polyamine = has_part(  # aliphatic and acyclic
    has("[NX3+0,NX4+;!$(N~[!#6;!#1]);!$(N~[#6;!X4])]", 3), none_of("a", "C=O", "[#15]"), has_no_ring
)
is_dipeptide = all_of(  # termini free or protected; the peptide bond is acyclic
    has("[#7][CX4][CX3;!R](=O)[NX3][CX4][CX3;!R]=O", 1, 1),
    "[#7][CX4][CX3;!R](=O)[NX3;!$(N(C=O)C=O)][CX4][CX3;!R](=O)[$([OX2]),$([OX1-]),$([NX3H2])]",
)
is_chlorofluorocarbon = all_of(consists_of("C", "F", "Cl"), "F", "Cl", none_of("[#6;!X4]"))
is_chlorinated_dioxin = all_of(
    consists_of("C", "Cl", "O"), "Cl", any_of("c1ccc2c(c1)Oc1ccccc1O2", "c1ccc2c(c1)oc1ccccc12")
)
is_polychlorinated_biphenyl = all_of(consists_of("C", "Cl"), has("[#6]", 12, 12), has("Cl", 2), "c1ccccc1-c1ccccc1")
is_azo_dye = any_of("a-[NX2]=[NX2]-a", "a-[NX2]=[NX2]-[#6]~[#6]~[#8]", f"[{AZO_AS_HYDRAZONE}]")
is_hydrazone = has(f"[$([CX3H][#6]),$([CX3]([#6])[#6]),$([CX3H2]);!$([{AZO_AS_HYDRAZONE}])]=[NX2]-!@[NX3]")
is_triarylmethane_dye = any_of(
    "[#6X3;!R](c1ccccc1)(c1ccccc1)=C1C=CC(=[N,O])C=C1", "[C+](c1ccc([#7,#8])cc1)(c1ccccc1)c1ccccc1"
)
is_anthraquinone_dye = any_of(
    "O=C1c2ccccc2C(=O)c2c([#7+0,OX2H,OX1-])cccc21", "O=C1c2ccccc2C(=O)c2cc([#7+0,OX2H,OX1-])ccc21"
)
is_chlorophenoxy_acid = ring_with("[#8][CX3](=O)[CX4;!H0][OX2]", "Cl")
