"""Write sentences about a molecule's structure by rules, in the style of ChEBI's definitions.

Each sentence states a result of `chemistry.classes` and is independent of the others, so sentences can be dropped or
reordered. Wording and order depend on a seed, but not on how the SMILES is written. The sentences never state the
formula, the mass, a SMILES, an InChI or a name of the whole molecule.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from random import Random

from rdkit import Chem
from rdkit.rdBase import BlockLogs

from ..chemistry.classes import StructureClasses, classify
from ..chemistry.ring_names import MACROCYCLE
from ..chemistry.ring_substituents import Decorated, Joint
from .structure_phrases import list_phrases
from .structure_wording import (
    capitalise,
    count,
    count_noun,
    count_ring,
    enumerate_words,
    name_as_class,
    name_as_ring,
    name_element,
    name_ring,
    with_article,
)

MOST_CLASSES = 4  # in one sentence
MOST_DECORATED = MOST_JOINTS = 2
SHORTEST_CHAIN_TOLD = 5  # carbons
IS = ("It is {}.", "The molecule is {}.", "This compound is {}.", "It is {}.", "The compound is {}.")
HAS = (
    "It has {}.",
    "It contains {}.",
    "The molecule has {}.",
    "There {is} {} in the molecule.",
    "It is a compound with {}.",
)
BEARS = ("It bears {}.", "The molecule carries {}.", "It is substituted by {}.")
HAS_RINGS = ("It contains {}.", "The molecule contains {}.", "Its rings include {}.", "The structure has {}.")
DECORATED = (
    "{the_ring} bears {what}.",
    "{the_ring} carries {what}.",
    "{the_ring} is substituted by {what}.",
    "It has {a_ring} substituted by {what}.",
    "It contains {a_ring} with {what}.",
)
PATTERNS = {  # of a benzene ring
    "1": "monosubstituted",
    "1,2": "ortho-disubstituted",
    "1,3": "meta-disubstituted",
    "1,4": "para-disubstituted",
    "1,2,3": "1,2,3-trisubstituted",
    "1,2,4": "1,2,4-trisubstituted",
    "1,3,5": "1,3,5-trisubstituted",
    "1,2,3,4": "1,2,3,4-tetrasubstituted",
    "1,2,3,5": "1,2,3,5-tetrasubstituted",
    "1,2,4,5": "1,2,4,5-tetrasubstituted",
}
MINOR = {  # groups that are listed in separate sentences
    *("methyl group", "N-methyl group", "S-methyl group", "phenyl group", "gem-dimethyl group", "benzyl group"),
    *("isopropyl group", "tert-butyl group", "hydroxymethyl group", "vinyl group", "methoxy group", "ethoxy group"),
    *("acetyl group", "acetoxy group", "acetamido group", "benzoyl group", "dimethylamino group", "prenyl group"),
    *("methylsulfonyl group", "tosyl group", "trimethylsilyl group", "trifluoromethyl group", "difluoromethyl group"),
    *("trichloromethyl group", "tert-butoxycarbonyl group", "benzyloxycarbonyl group"),
}
TELLING = {  # groups that are more informative than a class
    *("nitro group", "trifluoromethyl group", "methoxy group", "ethoxy group", "tert-butyl group", "isopropyl group"),
    *("phenyl group", "benzyl group", "acetyl group", "benzoyl group", "dimethylamino group", "gem-dimethyl group"),
    *("vinyl group", "prenyl group", "hydroxymethyl group", "methylsulfonyl group", "N-methyl group"),
}
SKIPPED_RINGS = {"pyranose", "furanose", "benzene"}  # not used as classes of the molecule
CATIONS = {"sodium", "potassium", "lithium", "calcium", "magnesium", "zinc", "aluminium", "ammonium"}


def describe_structure(mol: Chem.Mol | str, seed: int = 0, with_stereo: bool = False) -> list[str]:
    """Describe the structure of a molecule.

    Args:
        mol: sanitised molecule, or a SMILES.
        seed: seed of the wording.
        with_stereo: whether to state how many stereocentres and double bonds have which configuration.
    Returns:
        At least one sentence, the most informative first.
    Raises:
        ValueError: RDKit cannot read the SMILES.
    """
    if isinstance(mol, str):
        smiles = mol
        with BlockLogs():
            mol = Chem.MolFromSmiles(smiles)
        if mol is None or mol.GetNumAtoms() == 0:
            raise ValueError(f"RDKit cannot read the SMILES {smiles!r}; correct it")
    found = classify(mol, with_stereo)
    return write_sentences(found, Random(hashlib.sha256(f"{seed} {found.smiles}".encode()).digest()))


def write_sentences(found: StructureClasses, random: Random) -> list[str]:
    """Write the sentences for the result of `classify`."""
    sentences = [
        *_write_classes(found, random),
        *_write_parts(found, random),
        *_write_groups(found, random),
        *_write_rings(found, random),
        *_write_decorated(found, random),
        *(_write_joint(joint, random) for joint in _choose(found.joints, MOST_JOINTS, random)),
        *_write_chains(found, random),
        *_write_charges(found, random),
        *_write_elements(found, random),
        *_write_stereo(found),
    ]
    for phrase in list_phrases(found, random):  # at random places after the first sentence
        sentences.insert(random.randint(min(1, len(sentences)), len(sentences)), f"{capitalise(phrase)}.")
    return list(dict.fromkeys(sentences))


def _write_classes(found: StructureClasses, random: Random) -> list[str]:
    """Write sentences such as "It is an organochlorine compound, a secondary alcohol and a member of pyridines."."""
    frames = [name_as_class(name, random) for name in found.frames]
    charges = [with_article(name) for name in found.charges]
    told = [ring for ring in found.rings if ring in found.whole_rings and ring not in SKIPPED_RINGS]
    rings = [name_as_ring(ring, random) for ring in told]
    classes = [name_as_class(name, random) for name in found.classes]
    facts = [with_article(name) for name in found.ring_facts if name != "acyclic compound"]
    facts = _choose(facts, MOST_CLASSES, random)
    names = list(dict.fromkeys([*frames, *charges, *rings[:2], *classes, *rings[2:]]))
    sentences = [*_write_combined(found, told, random), *_write_lists(names, random)]
    first, rest = sentences[:2], sentences[2:]
    random.shuffle(first)
    return [*first, *rest, *_write_lists(facts, random)]


def _write_lists(names: list[str], random: Random) -> list[str]:
    """Write sentences that each list some of the classes."""
    sentences = []
    while names:
        size = random.randint(2, MOST_CLASSES) if len(names) > MOST_CLASSES else len(names)
        chosen, names = names[:size], names[size:]
        random.shuffle(chosen)
        sentences.append(random.choice(IS).format(enumerate_words(chosen)))
    return sentences


def _write_combined(found: StructureClasses, rings: Sequence[str], random: Random) -> list[str]:
    """Write a sentence such as "It is a secondary carboxamide that contains a pyridine ring.", if both halves exist."""
    names = [*found.frames, *found.classes[:3]]
    groups = [name for name in found.groups if name in TELLING]
    name = random.choice(names) if names else ""
    groups = [group for group in groups if group.split()[0] not in name]
    rings = [ring for ring in rings if ring not in name]
    if not names or not (rings or groups):
        return []
    if rings and (not groups or random.random() < 0.7):
        part = f"{with_article(name_ring(random.choice(rings), random))} ring"
    else:
        group = random.choice(groups)
        part = count_noun(group, found.groups[group], random)
    form = random.choice(["It is {} that contains {}.", "The molecule is {} with {}.", "It is {} having {}."])
    return [form.format(name_as_class(name, random), part)]


def _write_parts(found: StructureClasses, random: Random) -> list[str]:
    """Write sentences about amino acids and nucleobases."""
    sentences = []
    if found.residues:
        numbers = sorted(Counter(found.residues).items())
        residues = [f"{count(number)} {name} residue{'s' * (number > 1)}" for name, number in numbers]
        forms = ("It is composed of {}.", "The peptide chain consists of {}.", "It is a peptide of {}.")
        sentences.append(random.choice(forms).format(enumerate_words(residues)))
    elif found.amino_acid and not any("peptide" in name for name in found.frames):
        forms = ("It is {} or a derivative of it.", "It is based on the amino acid {}.", "It has the skeleton of {}.")
        sentences.append(random.choice(forms).format(found.amino_acid))
    if found.nucleobases:
        bases = [with_article(f"{base} base") for base in found.nucleobases]
        sentences.append(_write_has(HAS[:4], bases, random))
    return sentences


def _write_has(forms: Sequence[str], names: Sequence[str], random: Random) -> str:
    """Write a sentence whose verb agrees with the first noun."""
    is_one = names[0].startswith(("a ", "an ", "one "))
    return random.choice(forms).replace("{is}", "is" if is_one else "are").format(enumerate_words(names))


def _write_groups(found: StructureClasses, random: Random) -> list[str]:
    """Write sentences such as "It has three hydroxy groups and an ester group."."""
    sentences = []
    minor = [name for name in found.groups if name in MINOR]
    major = [name for name in found.groups if name not in MINOR and name != "phenolic hydroxy group"]
    if 0 < found.groups.get("phenolic hydroxy group", 0) == found.groups.get("hydroxy group", 0):
        major = [name if name != "hydroxy group" else random.choice([name, "phenolic hydroxy group"]) for name in major]
    for names, forms, most in ((major, HAS, 2), (minor, (*HAS, *BEARS), 1)):
        names = [count_noun(name, found.groups[name], random) for name in names]
        random.shuffle(names)
        size = 4 if len(names) == 4 else 3
        for start in range(0, min(len(names), most * size), size):
            sentences.append(_write_has(forms, names[start : start + size], random))
    return sentences


def _write_rings(found: StructureClasses, random: Random) -> list[str]:
    if not found.num_rings and not found.has_carbon:
        return []
    if not found.num_rings:
        return [random.choice(["It is an open-chain compound.", "It is an acyclic compound."])]
    names = [count_ring(ring, number, random) for ring, number in found.rings.items()]
    sentences = []
    if names:
        random.shuffle(names)
        whole = [ring for ring in found.rings if ring in found.whole_rings]
        if whole and random.random() < 0.15:
            parent = with_article(name_ring(random.choice(whole), random))
            sentences.append(f"It derives from a hydride of {parent}.")
        sentences.append(random.choice(HAS_RINGS[: 4 if len(names) > 1 else 2]).format(enumerate_words(names)))
    sentences.append(_write_number_of_rings(found.num_rings, found.num_aromatic_rings, random))
    if "macrocycle" in found.ring_facts:
        sentences.append(random.choice(["It has a large ring.", f"It has a ring of at least {MACROCYCLE} atoms."]))
    return sentences


def _write_number_of_rings(number: int, aromatic: int, random: Random) -> str:
    rings = count_noun("ring", number, random)
    if number == aromatic == 1:
        return random.choice(["Its only ring is aromatic.", "It has one aromatic ring and no other ring."])
    if number == aromatic:
        return random.choice([f"It has {rings}, all aromatic.", f"All of its {count(number)} rings are aromatic."])
    if aromatic:
        of_them = (
            f"one of {'which is' if aromatic == 1 else ''}" if aromatic == 1 else f"{count(aromatic)} of which are"
        )
        return random.choice([f"It has {rings}, {of_them} aromatic.", f"The molecule has {rings}, {of_them} aromatic."])
    if number == 1:
        return random.choice(["Its only ring is aliphatic.", "It has a single ring, which is aliphatic."])
    return random.choice([f"It has {rings}, all of them aliphatic.", f"Its {count(number)} rings are aliphatic."])


def _write_decorated(found: StructureClasses, random: Random) -> list[str]:
    """Write sentences such as "The pyridine ring bears a chloro and a methyl group."."""
    sentences = []
    for one in _choose([one for one in found.decorated if one.names], MOST_DECORATED, random):
        article = "the" if found.rings.get(one.ring) == 1 else "one"
        name = name_ring(one.ring, random)
        form = random.choice(DECORATED)
        words = {"the_ring": f"{article} {name} ring", "a_ring": f"{with_article(name)} ring", "what": _list_names(one)}
        sentences.append(capitalise(form.format(**words)))
    paired = [one for one in found.decorated if one.pairs]
    if paired:
        sentences.append(_write_pair(*random.choice(random.choice(paired).pairs), random))
    elif patterns := sorted({PATTERNS[one.pattern] for one in found.decorated if one.pattern in PATTERNS}):
        sentences.append(f"It contains {with_article(random.choice(patterns))} benzene ring.")
    return sentences


def _list_names(one: Decorated) -> str:
    """Return a list such as "two methyl groups and a chloro group"."""
    oxo = [
        f"{with_article(name)} group" if number == 1 else f"{count(number)} {name} groups" for name, number in one.names
    ]
    if len(one.names) == 2 and all(number == 1 for _, number in one.names):
        first, second = (name for name, _ in one.names)
        return f"{with_article(first)} and {with_article(second)} group"
    return enumerate_words(oxo)


def _write_pair(one: str, other: str, relation: str, random: Random) -> str:
    if one == other:
        return f"Two {one} groups are {relation} to each other on a benzene ring."
    forms = (
        "The {one} group is {relation} to the {other} group on a benzene ring.",
        "A benzene ring has {a_one} and {a_other} group {relation} to each other.",
        "On a benzene ring, {a_one} group stands {relation} to {a_other} group.",
    )
    words = {"one": one, "other": other, "a_one": with_article(one), "a_other": with_article(other)}
    return random.choice(forms).format(relation=relation, **words)


def _choose(items: Sequence, most: int, random: Random) -> list:
    """Choose at most `most` items at random and keep their order."""
    return [items[place] for place in sorted(random.sample(range(len(items)), min(most, len(items))))]


def _write_joint(joint: Joint, random: Random) -> str:
    if joint.one == joint.other:
        rings = f"two {name_ring(joint.one, random)} rings"
    else:
        names = [f"{with_article(name_ring(name, random))} ring" for name in (joint.one, joint.other)]
        random.shuffle(names)
        rings = " and ".join(names)
    if joint.linker:
        forms = (f"{rings} are linked by {joint.linker}.", f"{joint.linker} connects {rings}.")
    else:
        forms = (f"{rings} are directly bonded to each other.", f"{rings} are joined by a bond.")
    return capitalise(random.choice(forms))


def _write_chains(found: StructureClasses, random: Random) -> list[str]:
    sentences = []
    chains = Counter((chain.num_carbons, chain.num_double_bonds) for chain in found.acyl_chains)
    for (carbons, double), number in list(chains.items())[:3]:
        bonds = f" with {count_noun('double bond', double, random)}" if double else ""
        kind = "fatty acyl chain" if double else "saturated fatty acyl chain"
        if number == 1:
            sentences.append(f"It has a {kind} of {carbons} carbon atoms{bonds}.")
        else:
            sentences.append(f"It has {count(number)} {kind}s of {carbons} carbon atoms each{bonds}.")
    if found.longest_chain >= SHORTEST_CHAIN_TOLD:
        forms = (
            "Its longest open chain of carbon atoms has {} members.",
            "It has an open chain of {} carbon atoms.",
            "The longest carbon chain outside of rings has {} atoms.",
        )
        sentences.append(random.choice(forms).format(count(found.longest_chain)))
    for noun, number in (
        ("carbon-carbon double bond", found.double_bonds),
        ("carbon-carbon triple bond", found.triple_bonds),
    ):
        if number:
            sentences.append(_write_has(HAS[:4], [count_noun(noun, number, random)], random))
    return sentences


def _write_charges(found: StructureClasses, random: Random) -> list[str]:
    sentences = ["It consists of several components."] if "" in found.counterparts else []
    for name in filter(None, found.counterparts):
        if name == "hydrate":
            sentences.append(random.choice(["It is a hydrate.", "It contains water of crystallisation."]))
        elif name in CATIONS:
            organic = with_article(f"organic {name} salt" if found.has_carbon else f"{name} salt")
            forms = (f"It is {with_article(name)} salt.", f"It is {organic}.", f"Its counterion is {name}.")
            sentences.append(random.choice(forms))
        elif name.startswith("hydro"):
            sentences.append(random.choice([f"It is a {name}.", f"It is a {name} salt."]))
        else:
            sentences.append(random.choice([f"It is {with_article(name)} salt.", f"Its counterion is {name}."]))
    if found.charge:
        sign = "positive" if found.charge > 0 else "negative"
        number = abs(found.charge)
        amount = f"one {sign} charge" if number == 1 else f"{count(number)} {sign} charges"
        sentences.append(random.choice(["It bears {}.", "It carries {}.", "The ion has {}."]).format(amount))
    if found.charge == -1 and "monocarboxylic acid anion" in found.classes:
        sentences.append("It is the conjugate base of a monocarboxylic acid.")
    return sentences


def _write_elements(found: StructureClasses, random: Random) -> list[str]:
    words = [
        f"{count(number)} {name_element(element)} atom{'s' if number > 1 else ''}"
        for element, number in found.elements.items()
    ]
    random.shuffle(words)
    is_organic = found.has_carbon and found.has_hydrogen
    sentences = []
    if words:
        forms = ("It contains {}.", "Besides carbon and hydrogen it contains {}." if is_organic else "It has {}.")
        sentences.append(random.choice(forms).format(enumerate_words(words)))
    if found.has_carbon and not found.elements:
        sentences.append(f"It consists of {'carbon and hydrogen' if is_organic else 'carbon'} only.")
    elif is_organic and set(found.elements) == {8} and not found.counterparts:
        sentences.append("It consists of carbon, hydrogen and oxygen only.")
    if not found.has_carbon:
        sentences.append(random.choice(["It is an inorganic compound.", "It is inorganic."]))
    metals = [name_element(element) for element in found.metals]
    sentences += [random.choice([f"It contains the metal {name}.", f"It contains {name}."]) for name in metals]
    return sentences


def _write_stereo(found: StructureClasses) -> list[str]:
    sentences = []
    for fact in found.stereo:
        number, name = fact.split()
        noun = "double bond" if name in ("E", "Z") else "stereocentre"
        sentences.append(f"It has {count(int(number))} {noun}{'s' * (number != '1')} of {name} configuration.")
    return sentences
